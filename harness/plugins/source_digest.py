"""Digests of a scenario's code: its file, and all that it imports from its folder or its package."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.journal.plan import Comparison


def digest(cls: type[Any]) -> str:
    """Sixteen hexadecimal digits that change with the source of ``cls``; of code without a file it is empty.

    Python alone is looked at, and only what stands in import statements: what a scenario loads otherwise, and what is
    installed, is not part of it.
    """
    module = sys.modules[cls.__module__]
    if not (origin := getattr(module, "__file__", None)):
        return ""
    file = Path(origin).absolute()
    names = cls.__module__.split(".")
    parts = file.parent.parts if file.name == "__init__.py" else file.with_suffix("").parts
    importable = parts[-len(names) :] == tuple(names)  # else it was loaded as a file, by whatever name
    alone = len(names) == 1 and file.parent.name not in ("site-packages", "dist-packages")
    package = names[0] if importable and not alone else None
    root = Path(*parts[: -len(names)]) if package else file.parent
    above = _files(cls.__module__, root) if package else ()
    hashed = hashlib.sha256()
    for path in sorted(_closure([file, *above], root, package)):
        hashed.update(str(path.relative_to(root)).encode(errors="surrogateescape") + b"\0" + _source(path) + b"\0")
    return hashed.hexdigest()[:16]


def changed(planned: Iterable[Comparison], now: Iterable[Comparison]) -> list[str]:
    """Scenarios whose code is another in two plans of the same cases."""
    before = {(comparison.scenario, comparison.code) for comparison in planned}
    return sorted({current.scenario for current in now if (current.scenario, current.code) not in before})


def _closure(ahead: list[Path], root: Path, package: str | None) -> set[Path]:
    """Files and all that they import below ``root``, directly or not; of a ``package`` only what belongs to it."""
    seen: set[Path] = set()
    while ahead:
        path = ahead.pop()
        if path not in seen:
            seen.add(path)
            names = (name for name in _imports(path, root) if package is None or name.partition(".")[0] == package)
            ahead += [file for name in names for file in _files(name, root)]
    return seen


def _imports(path: Path, root: Path) -> Iterator[str]:
    """Dotted names that a file imports, of modules or of what is in them."""
    try:
        tree = ast.parse(_source(path))
    except (SyntaxError, ValueError):  # it imports nothing
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(root).parts[: -node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _files(name: str, root: Path) -> Iterator[Path]:
    """The files below ``root`` that importing a dotted name executes."""
    folder = root
    for part in name.split("."):
        for path in (folder / f"{part}.py", folder / part / "__init__.py"):
            if path.is_file():
                yield path
        folder /= part


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
