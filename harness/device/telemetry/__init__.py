"""Telemetry: readings of devices and cores during measurements."""
