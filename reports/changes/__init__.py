"""One run against another: what got slower or faster, how surely, and what else is different."""
