"""The documents that reports write: summaries, comparisons, histories; every field with its meaning."""
