"""Whatever breaks, and when."""
