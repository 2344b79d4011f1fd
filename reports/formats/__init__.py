"""A run in the formats of other tools, a module each. Nothing in any of them gives a case that is wrong a time."""
