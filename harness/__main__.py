"""The entry point: ``rankbench …``, ``python -m harness …``, or a rank under ``torchrun … -m harness …``."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))  # python -m puts the working directory first, before modules of Python itself

import gc
from importlib.util import find_spec
from pathlib import Path

from harness.common.packages import HOME, PACKAGES


def strangers() -> str | None:
    """Return an error text if the four packages do not come from one place (ROS has a ``launch`` too), else None."""
    for name in PACKAGES:
        spec = find_spec(name)
        folder = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if folder != HOME / name:
            where = folder or "nowhere"
            here = folder is not None and Path.cwd().resolve() in (folder, folder.parent)
            remedy = "start rankbench in another folder" if here else "try `env -u PYTHONPATH rankbench …`"
            return f"package {name!r} must come from {HOME}, but comes from {where}; {remedy}"
    return None


def main() -> None:
    """Run the command line."""
    if wrong := strangers():
        sys.exit(f"rankbench: {wrong}")
    from harness.cli.app import run_app

    code = run_app(sys.argv[1:])
    gc.freeze()  # nothing of PyTorch needs to be searched before this ends: that takes a second
    sys.exit(code)


if __name__ == "__main__":
    main()
