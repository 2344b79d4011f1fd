"""Processes, sockets and folders that a run leaves behind for nobody."""
