"""Devices and the host that they are in: what there is, what it is pinned to, and its clocks."""
