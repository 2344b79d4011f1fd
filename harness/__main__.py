"""The entry point: ``rankbench …``, ``python -m harness …``, or a rank under ``torchrun … -m harness …``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("harness", "scenarios", "launch", "reports")


def strangers() -> str | None:
    """What is wrong if the four packages do not come from one place (a sourced ROS has a ``launch`` too); else None."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != home / name:
            where = found or "nowhere"
            return (
                f"package {name!r} must come from {home}, but comes from {where}; try `env -u PYTHONPATH rankbench …`"
            )
    return None


def main() -> None:
    """Run the command line."""
    if wrong := strangers():
        sys.exit(f"rankbench: {wrong}")
    from harness.cli import run_app

    sys.exit(run_app(sys.argv[1:]))


if __name__ == "__main__":
    main()
