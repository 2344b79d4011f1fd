"""The digest of a scenario's code changes with all of its source, and with nothing else."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from harness.plugins import registry, source_digest
from harness.plugins.registry import load

MINE = """
import os
from dataclasses import dataclass
from helper import twice

@dataclass
class Mine:
    scaling = "none"

    def prepare(self, gang): ...
"""
FILES = {
    "mine.py": MINE,
    "helper.py": "def twice(x):\n    import deep.inside as inside\n    return inside.two * x\n",
    "deep/__init__.py": "",
    "deep/inside.py": "from . import beside\ntwo = beside.two\n",
    "deep/beside.py": "two = 2\n",
    "other.py": "three = 3\n",
    "os.txt": "",
}


def written(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def of_file(root: Path) -> str:
    return source_digest.digest(load(f"{root / 'mine.py'}:Mine").cls)


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_imports_from_beside_it_belongs_to_it(tmp_path: Path, name: str) -> None:
    written(tmp_path, FILES)
    before = of_file(tmp_path)
    assert before == of_file(tmp_path)
    (tmp_path / name).write_text(FILES[name] + "# another\n")
    assert (of_file(tmp_path) != before) == (name not in ("other.py", "os.txt"))


def test_a_package_is_followed_and_what_is_beside_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = {
        "subject/__init__.py": "",
        "subject/tasks/__init__.py": "",
        "subject/tasks/mine.py": "import neighbour\nfrom .. import shared\nclass Mine: pass\n",
        "subject/shared.py": "from subject.constants import two\n",
        "subject/constants.py": "two = 2\n",
        "neighbour.py": "",
    }
    written(tmp_path, package)
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("subject.tasks.mine").Mine
    before = source_digest.digest(mine)
    (tmp_path / "neighbour.py").write_text("# another\n")
    assert source_digest.digest(mine) == before
    for name in ("subject/constants.py", "subject/shared.py", "subject/tasks/__init__.py"):
        (tmp_path / name).write_text(package[name] + "# another\n")
        assert source_digest.digest(mine) != before, name
        (tmp_path / name).write_text(package[name])
    assert source_digest.digest(mine) == before


def test_every_shipped_scenario_has_a_digest_with_what_it_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = list(registry.scenarios().values())
    assert all(len(source_digest.digest(entry.cls)) == 16 for entry in entries)
    split = load("scenarios.chapter.products.split:Split").cls
    before, read = source_digest.digest(split), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == "accuracy.py" else b""))
    assert source_digest.digest(split) != before


def test_code_that_has_no_file_has_no_digest() -> None:
    assert source_digest.digest(type("Typed", (), {"__module__": "builtins"})) == ""
