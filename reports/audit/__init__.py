"""The audit: a run judged by the twelve rules of Hoefler and Belli (SC15), from its own data."""
