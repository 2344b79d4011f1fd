"""Which Ray cluster a run is to use, as the command line and the environment say, and whether Ray is there at all."""

import os
import re
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

from harness.common.errors import UsageError
from harness.common.packages import late
from harness.journal.plan import Plan

OPTION = "--ray-address"
VARIABLE = "RAY_ADDRESS"
OLDEST = 2, 52
"""The first release of Ray whose clusters can refuse strangers."""


class Address(NamedTuple):
    """The address of an external cluster, and the option or variable that names it."""

    text: str
    parameter: str
    """The option; or the variable, which may be there for others, too."""


def address_of(option: str | None) -> Address | None:
    """The cluster that the option names, else the variable; None for one of our own, which Ray calls local."""
    parameter, text = (OPTION, option) if option else (VARIABLE, os.environ.get(VARIABLE))
    return Address(text, parameter) if text and text != "local" else None


def nodes_of(address: Address | None, launcher: str | None) -> list[Mapping[str, int]] | None:
    """The resources of each node of an external cluster if ``launcher`` names Ray, else None. Raises UsageError."""
    if "ray" in (launcher or "").split(","):
        require_ray()
        return late("launch.ray_cluster.cluster:nodes")(*address) if address else None
    if address and address.parameter == OPTION:
        raise UsageError(OPTION, f"{address.text} needs --launcher ray", None, "add it, or drop the address")
    return None


def require_ray() -> None:
    """Raise UsageError where Ray is not installed, or is too old."""
    spec = find_spec("ray")
    remedy = "pip install 'rankbench[ray]'"
    if spec is None or spec.origin is None:  # without an origin it is any folder of that name
        raise UsageError("--launcher ray", "needs Ray, which is not installed", None, remedy)
    installed = version("ray")
    if tuple(map(int, re.findall(r"\d+", installed)[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        fault = (
            f"needs Ray {oldest} or newer, but {installed} is installed: older clusters obey everybody who reaches them"
        )
        raise UsageError("--launcher ray", fault, None, remedy)


def resumed(plan: Plan, address: Address | None) -> Plan:
    """The plan of a run that goes on; one on a Ray cluster where that is now. Raises UsageError."""
    if address and plan.ray_address:
        return plan.model_copy(update={"ray_address": address.text})
    if address and address.parameter == OPTION:
        raise UsageError(OPTION, "applies to runs on an external Ray cluster alone", None, "drop the address")
    return plan
