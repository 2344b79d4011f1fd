"""Another interpreter measures by its own packages, whatever lies around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from harness import environment, home
from harness.errors import UsageError
from harness.plan import Side
from tests.limits import LIMIT_S

ASK = """
import json, sys
from importlib.metadata import version
sys.path.insert(0, sys.argv[1])
from harness import environment, home
from harness.plan import Side

assert str(home.HOME) == sys.argv[1]
other = environment.described_by(Side(name="b", python=sys.argv[2]), ["cpu:0"])
print(json.dumps([version("numpy"), other["software"]["numpy"], other["git"]]))
"""


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Makes a virtual environment that greets whoever starts it, and has the packages of this one."""
    venv.create(tmp_path / "other", symlinks=True)
    site = next((tmp_path / "other").glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    (site / "sitecustomize.py").write_text("print('Welcome to the cluster!')\nprint('{}')")
    return tmp_path / "other" / "bin" / "python"


def test_packages_installed_beside_these_are_not_lent_to_another_interpreter(tmp_path: Path, other: Path) -> None:
    """Installed as from a wheel; in a folder whose files are called like modules, on a branch that is no text."""
    site = tmp_path / "site-packages"
    for name in home.PACKAGES:
        shutil.copytree(home.HOME / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    (site / "numpy-99.0.dist-info").mkdir()
    (site / "numpy-99.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 99.0\n")
    (folder := tmp_path / "folder").mkdir()
    for name in ("harness", "launch", "random", "json"):
        (folder / f"{name}.py").write_text("raise SystemExit('a file of the current folder was imported')")
    for line in (("init", "-q"), ("symbolic-ref", "HEAD", b"refs/heads/gr\xf6\xdfe")):
        subprocess.run(["git", *line], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK, str(site), str(other)],
        cwd=folder, capture_output=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    mine, its, git = json.loads(done.stdout)
    assert (mine, its) == ("99.0", version("numpy"))
    assert git == {"commit": "(initial)", "changed": False}


def test_a_path_for_this_interpreter_lends_no_pytorch_to_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unless the side's own words say so."""
    told = {"torch": str(tmp_path / "torch" / "__init__.py"), "environment": {}}
    monkeypatch.setattr(environment, "_told_by", lambda *_: (told, ""))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"--b must measure its own PyTorch, .* take that folder out of PYTHONPATH"):
        environment.described_by(Side(name="b", python="/other/python"), ["cpu:0"])
    told["torch"] = "/other/lib/torch/__init__.py"
    assert environment.described_by(Side(name="b", python="/other/python"), ["cpu:0"]) == {}
    told["torch"] = str(tmp_path / "torch" / "__init__.py")
    own = Side(name="b", python="/other/python", variables={"PYTHONPATH": str(tmp_path)})
    assert environment.described_by(own, ["cpu:0"]) == {}


def test_the_path_of_a_side_comes_after_these_packages_and_names_no_current_folder(tmp_path: Path) -> None:
    packages = home.linked(tmp_path)
    assert sorted(path.name for path in packages.iterdir()) == sorted(home.PACKAGES)
    reach = home.within_reach({"PYTHONPATH": f":/one{os.pathsep}", "X": "1"}, packages)
    assert reach == {"PYTHONPATH": f"{packages}{os.pathsep}/one", "X": "1"}
