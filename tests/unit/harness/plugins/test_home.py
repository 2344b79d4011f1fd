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

from harness.common import packages as home
from harness.common.errors import UsageError
from harness.device import fingerprint
from harness.journal.plan import Side
from harness.planning.builder import make
from harness.planning.request import RunRequest
from tests.limits import LIMIT_S

ASK = """
import json, os, sys
from importlib.metadata import version
sys.path.insert(0, sys.argv[1])
from harness.device import fingerprint as environment; from harness.common import packages as home
from harness.plugins.registry import load
from harness.journal.plan import Side
from harness.plugins.source_digest import digest

assert str(home.HOME) == sys.argv[1]
os.environ["PYTHONHOME"] = "/nowhere"  # of this interpreter
code = {f"{sys.argv[3]}:Mine": digest(load(f"{sys.argv[3]}:Mine").cls)}
other = environment.described_by(Side(name="b", python=sys.argv[2]), ["cpu:0"], code)
print(json.dumps([version("numpy"), other["software"]["numpy"], other["git"]]))
"""

SCENARIO = """
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Mine:
    scaling: ClassVar = "none"

    def prepare(self, gang): ...
"""
ANSWER = {"environment": {}, "torch": "/other/torch/__init__.py", "libraries": [], "prefixes": ["/other"], "code": {}}


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
    (scenario := tmp_path / "mine.py").write_text(SCENARIO)
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK, str(site), str(other), str(scenario)],
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
    told = ANSWER | {"torch": str(tmp_path / "torch" / "__init__.py")}
    monkeypatch.setattr(fingerprint, "_answer_of", lambda *_: (told, ""))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"--b must measure its own PyTorch, .* take that folder out of PYTHONPATH"):
        fingerprint.described_by(Side(name="b", python="/other/python"), ["cpu:0"])
    told["torch"] = str(tmp_path / "other" / "torch" / "__init__.py")  # nobody imports it from above its folder
    assert fingerprint.described_by(Side(name="b", python="/other/python"), ["cpu:0"]) == {}
    told["torch"] = str(tmp_path / "torch" / "__init__.py")
    own = Side(name="b", python="/other/python", variables={"PYTHONPATH": str(tmp_path)})
    assert fingerprint.described_by(own, ["cpu:0"]) == {}


def test_libraries_of_this_environment_are_not_lent_to_another_interpreter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of a folder that belongs to neither are for both."""
    mine, shared = tmp_path / "mine/lib", tmp_path / "cuda/lib"
    told = ANSWER | {"libraries": [f"{shared}/libcudart.so.13", f"{mine}/libnccl.so.2"]}
    monkeypatch.setattr(fingerprint, "_answer_of", lambda *_: (told, ""))
    monkeypatch.setattr(sys, "prefix", str(mine.parent))
    side = Side(name="b", python="/other/python")
    for folders, lent in (((shared,), False), ((shared, mine), True)):
        monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(map(str, folders)))
        if lent:
            words = (
                f"its own libraries, but is /other/python, which has libraries of {mine}; take that folder out of LD_L"
            )
            with pytest.raises(UsageError, match=words):
                fingerprint.described_by(side, ["cpu:0"])
        else:
            assert fingerprint.described_by(side, ["cpu:0"]) == {}
    asked = side.model_copy(update={"variables": {"LD_LIBRARY_PATH": str(mine)}})
    assert fingerprint.described_by(asked, ["cpu:0"]) == {}


def test_another_version_of_a_scenario_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_answer_of", lambda *_: (ANSWER | {"code": {"plugin:Mine": "1" * 16}}, ""))
    side = Side(name="b", python="/other/python")
    assert fingerprint.described_by(side, ["cpu:0"], {"plugin:Mine": "1" * 16}) == {}
    with pytest.raises(
        UsageError, match="--b must measure the same, but is /other/python, where plugin:Mine has other"
    ):
        fingerprint.described_by(side, ["cpu:0"], {"plugin:Mine": "2" * 16})


def test_a_plan_tells_the_code_of_all_scenarios_but_ours(tmp_path: Path) -> None:
    (file := tmp_path / "mine.py").write_text(SCENARIO)
    plan = make(RunRequest(names=["split", f"{file}:Mine"], devices="cpu:1"))
    assert fingerprint.code_of(plan) == {f"{file}:Mine": plan.comparisons[-1].code}


def test_the_path_of_a_side_comes_after_these_packages_and_names_no_current_folder(tmp_path: Path) -> None:
    packages = home.linked(tmp_path)
    assert sorted(path.name for path in packages.iterdir()) == sorted(home.PACKAGES)
    reach = home.within_reach({"PYTHONPATH": f":/one{os.pathsep}", "X": "1"}, packages)
    assert reach == {"PYTHONPATH": f"{packages}{os.pathsep}/one", "X": "1"}
