"""The ranks of a launch: process groups, control plane, clocks, watchdog."""
