"""Runs a user's program as plain Python would: as ``__main__``, with its arguments, its path and its folder."""

import builtins
import io
import runpy
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from harness.common.packages import PACKAGES
from harness.journal.plan import Script


def run(script: Script) -> None:
    """Run it to its end in this thread, in the working directory that this process has. Raises whatever it raises."""
    sys.argv[:] = [script.target, *script.arguments]
    folder = script.folder if script.module else str(Path(script.target).resolve().parent)
    sys.path.insert(0, folder)
    _give_way(folder)
    if script.module:
        runpy.run_module(script.target, run_name="__main__", alter_sys=True)
        return
    main = ModuleType("__main__")
    main.__dict__.update(__file__=script.target, __builtins__=builtins, __spec__=None, __cached__=None)
    sys.modules["__main__"] = main  # it stays: what ends later, threads and exit handlers, may need it
    with io.open_code(script.target) as file:
        code = compile(file.read(), script.target, "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102 - it is what the user asked for


def _give_way(folder: str) -> None:
    """Forget packages of ours that the script has packages of the same name for: it imports its own."""
    for name in PACKAGES:
        if PathFinder.find_spec(name, [folder]) is not None:
            for module in [
                module_name for module_name in sys.modules if module_name == name or module_name.startswith(f"{name}.")
            ]:
                del sys.modules[module]
