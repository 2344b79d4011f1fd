"""Gangs of processes on this host."""
