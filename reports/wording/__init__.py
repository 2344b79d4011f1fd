"""Sentences about what a run shows."""
