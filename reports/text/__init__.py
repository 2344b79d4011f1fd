"""Text of the smallest kind: numbers with their units, and names of cases."""
