"""Supervision of a run: missing cells, hanging ranks, and when to stop."""
