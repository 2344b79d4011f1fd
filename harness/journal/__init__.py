"""The run directory: the plan, the records of the journal, and the messages that become records."""
