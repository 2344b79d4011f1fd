"""Figures: each drawn from rows of the summary."""
