"""Processes, sockets and folders of a run, and their removal."""
