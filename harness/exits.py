"""What the commands exit with."""

OK = 0
NOT_OK = 1
"""Some planned cell is not ok; of two runs the later one is worse; this machine cannot measure."""
USAGE = 2
"""The user asked for something that cannot be done."""
UNDECIDED = 3
"""Of two runs that are compared strictly it cannot be told whether the later one is worse."""
INTERRUPTED = 130
