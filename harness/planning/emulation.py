"""From ``--devices emulated:…`` and ``--emulate …`` to the emulation that stands in the plan."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.common.errors import UsageError
from harness.journal.emulation import Emulation

DEVICES = re.compile(r"emulated:(?:(?P<hosts>[1-9]\d*)x)?(?P<devices>[1-9]\d*)")
MOST = 4096
"""Emulated devices: each is a process."""


def emulation(devices: str | None, settings: Sequence[str]) -> Emulation | None:
    """The emulation that was asked for; None where devices are real.

    ``devices`` is ``emulated:N`` or ``emulated:HxN``, hosts and devices of each; each of ``settings`` a TOML file or a
    line of TOML, e.g. ``slow_ranks.3=1.2``. Later ones win. Raises UsageError.
    """
    if devices is None or devices.partition(":")[0] != "emulated":
        if settings:
            raise UsageError("--emulate", "needs emulated devices", None, "add --devices emulated:8")
        return None
    match = DEVICES.fullmatch(devices)
    if match is None:
        remedy = "e.g. --devices emulated:8, or emulated:4x8 for four hosts of eight"
        raise UsageError("--devices", "be emulated:N or emulated:HxN", repr(devices), remedy)
    hosts, per_host = int(match["hosts"] or 1), int(match["devices"])
    if hosts * per_host > MOST:
        raise UsageError("--devices", f"name at most {MOST} emulated devices", devices, "name fewer")
    merged: dict[str, Any] = {"hosts": hosts, "devices_per_host": per_host}
    for setting in settings:
        _merge(merged, _read(setting))
    if (merged["hosts"], merged["devices_per_host"]) != (hosts, per_host):
        raise UsageError("--emulate", "cannot set hosts: --devices has the number of devices", None, "leave it out")
    try:
        return Emulation.model_validate(merged, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "what it plants"
        known = ", ".join(sorted(Emulation.model_fields.keys() - {"hosts", "devices_per_host"}))
        rule = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"--emulate {name}", f"be valid: {rule}", repr(first["input"]), f"known: {known}") from None


def _read(setting: str) -> Mapping[str, Any]:
    path = Path(setting)
    try:
        text = path.read_text(encoding="utf-8") if path.suffix == ".toml" else setting
        return tomllib.loads(text)
    except OSError as error:
        raise UsageError(
            "--emulate", "name a file that can be read", f"{setting} ({error.strerror})", "correct it"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = "e.g. --emulate slow_ranks.3=1.2, or a file whose name ends in .toml"
        raise UsageError("--emulate", "be TOML", f"{setting!r} ({error})", remedy) from None


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value
