"""All ranks of a launch: their groups, their agreement, their clocks, and the watchdog."""
