"""Estimates, intervals, tests and verdicts."""
