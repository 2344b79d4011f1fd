"""Scenarios in files: each is a module by a name of its own, so that two files called alike do not meet.

That name can be imported: a process that a scenario starts anew (by ``spawn`` or ``forkserver``, as a data loader does)
has this process's ``sys.path``, and finds there what an object's class says of its module.
"""

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

__path__: Sequence[str] = ()
"""Says to Python that modules may be below this one; the finder knows where."""


class Finder(MetaPathFinder):
    """Finds the file of a scenario by the name of its module, in the folders of ``sys.path``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of a scenario's module; None for any other."""
        del path, target
        parent, _, name = fullname.rpartition(".")
        if parent != __name__:
            return None
        files = (file for file in _files(name) if _name(file) == name)
        return next((importlib.util.spec_from_file_location(fullname, file) for file in files), None)


def import_file(path: Path) -> ModuleType:
    """Import a file; what lies beside it can be imported from then on, after everything that is installed.

    Raises FileNotFoundError, and whatever the file raises.
    """
    file = Path(os.path.abspath(path))  # noqa: PTH100 - a link may lead to a file of another suffix
    if not file.is_file():
        raise FileNotFoundError(f"no file {path}")
    make_importable(file.parent)
    return importlib.import_module(f"{__name__}.{_name(file)}")


def make_importable(folder: Path) -> None:
    """Have Python look for modules in a folder too, after all others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _name(file: Path) -> str:
    """A module's name for a file: its stem, and a hash of its path."""
    return f"{_stem(file)}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"


def _stem(file: Path) -> str:
    return re.sub(r"\W", "_", file.stem)


def _files(name: str) -> Iterator[Path]:
    """Python files that importing looks at, of a stem that may have a module's name."""
    for folder in filter(None, sys.path):
        for file in Path(folder).glob("*.py"):
            if name.startswith(_stem(file)):
                yield file


sys.meta_path.append(Finder())
