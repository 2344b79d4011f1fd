"""Right of the journal: from the records of a run to numbers, plots, one page and exports. Never imports torch."""
