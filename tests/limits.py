"""How long a test waits for what has to end."""

LIMIT_S = 240
"""For what takes half a minute on an idle machine, and more on one with other work to do."""
