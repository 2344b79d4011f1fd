"""Measuring: from a comparison of cases to a cell for each, on one rank."""
