"""Comparing two runs, and the history of several."""
