"""A summary as a table in the terminal and in the formats of other tools."""
