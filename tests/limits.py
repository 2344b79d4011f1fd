"""How long a test waits for what has to end."""

LIMIT_S = 900
"""For what takes a minute at most on an idle machine: only what never ends takes as long."""
