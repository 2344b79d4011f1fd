"""The work of a step: FLOPs, bytes and memory, counted and compared with the declaration."""
