"""Supervision of a run: what is missing, who hangs, and when to stop."""
