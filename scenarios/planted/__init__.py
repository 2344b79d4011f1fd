"""Scenarios whose times are planted, to see whether a report is right about them."""
