"""Emulated devices as tests want them: round figures, and whatever a test plants."""

from __future__ import annotations

from typing import Any

from harness.device.emulated.device import EmulatedDevice
from harness.journal.emulation import Emulation, HostLink, Link

LAUNCH_S, MARK_S = 10e-6, 0.5e-6
LATENCY_S, BYTES_PER_S = 50e-6, 1e9
FAR_S, FAR_BYTES_PER_S = 200e-6, 1e8


def emulation(devices: int = 2, **planted: Any) -> Emulation:
    """Work costs nothing but what a test launches; a launch costs the host 10 µs, a mark half of one."""
    usual = {
        "devices_per_host": devices,
        "launch_s": LAUNCH_S,
        "mark_s": MARK_S,
        "flops_per_s": None,
        "bytes_per_s": None,
        "link": Link(latency_s=LATENCY_S, bytes_per_s=BYTES_PER_S),
        "host_link": HostLink(latency_s=FAR_S, bytes_per_s=FAR_BYTES_PER_S),
    }
    return Emulation.model_validate(usual | planted)


def device(rank: int = 0, **planted: Any) -> EmulatedDevice:
    """One of them."""
    return EmulatedDevice(rank, emulation(**planted))
