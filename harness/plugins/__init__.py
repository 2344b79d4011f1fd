"""Scenarios: which there are, their fields and their code; and those of the harness itself."""
