"""Emulated devices: accelerators whose clock is their own, so that times are exact whatever the machine does."""
