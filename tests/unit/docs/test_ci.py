"""docs/ci: the gate measures a change against its merge base, and nothing where only documents changed."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.limits import LIMIT_S

CI = Path(__file__).parents[3] / "docs" / "ci"
RANKBENCH = """#!/bin/sh
if [ "$1" = export ]; then echo "a comment" > "$6"; exit 0; fi
for word in "$@"; do case $word in PYTHONPATH=*) cat "${word#*=}/product.py" >> "$SEEN"; esac; done
echo "$@" >> "$SEEN"
mkdir rankbench-gate && touch rankbench-gate/journal.jsonl
exit 1
"""
"""In place of rankbench: notes what it is given, and finds the change slower."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on a branch that changes a document, and a rankbench that measures nothing."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rankbench").write_text(RANKBENCH)
    (tmp_path / "bin" / "rankbench").chmod(0o755)
    for name, value in {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SEEN": str(tmp_path / "seen"),
        "RANKBENCH_BASE": "main",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "job_summary"),
        **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    git(root, "init", "--quiet", "-b", "main")
    commit(root, {"product.py": "one\n", "docs/conf.py": "", "README.md": ""})
    git(root, "checkout", "--quiet", "-b", "change")
    commit(root, {"docs/conf.py": "x", "README.md": "x"})
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True).stdout


def commit(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "change")


def gate(root: Path) -> subprocess.CompletedProcess[str]:
    line = [CI / "gate.sh", "bench.py:Mine", "--devices", "cpu:1"]
    return subprocess.run(line, cwd=root, check=False, capture_output=True, text=True, timeout=LIMIT_S)


def test_a_change_of_documents_is_not_measured(clone: Path) -> None:
    done = gate(clone)
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "nothing to measure"), done.stderr
    assert not (clone.parent / "seen").exists()


def test_a_change_of_code_is_measured_against_its_merge_base_and_fails_where_it_is_slower(clone: Path) -> None:
    commit(clone, {"product.py": "two\n"})
    git(clone, "checkout", "--quiet", "main")
    commit(clone, {"product.py": "somebody else's\n"})
    git(clone, "checkout", "--quiet", "change")
    done = gate(clone)
    base, head, line = (clone.parent / "seen").read_text().splitlines()
    assert (done.returncode, base, head) == (1, "one", "two"), done.stderr
    assert line.startswith("duel bench.py:Mine --devices cpu:1 --out rankbench-gate --a PYTHONPATH=")
    assert (clone / "rankbench-gate" / "comment.md").read_text() == "a comment\n"
    assert (clone.parent / "job_summary").read_text() == "a comment\n"
    assert len(git(clone, "worktree", "list").splitlines()) == 1


def test_the_action_and_the_template_start_the_gate() -> None:
    action = yaml.safe_load((CI / "action.yml").read_text())
    assert "gate.sh ${{ inputs.scenario }}" in action["runs"]["steps"][0]["run"]
    job = yaml.safe_load((CI / "gitlab.yml").read_text())[".rankbench"]
    assert job["script"] == ["ci/gate.sh $SCENARIO $OPTIONS"]
    assert job["variables"]["GIT_DEPTH"] == "0"
