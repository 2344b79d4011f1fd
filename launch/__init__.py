"""Launchers of ranks: this process, gangs of processes on this host, or actors on a Ray cluster."""
