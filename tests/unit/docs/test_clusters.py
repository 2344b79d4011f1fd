"""What docs/clusters.md tells people to type: shells and parsers understand it, and so does the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from harness.cli.app import app

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "clusters.md"
SCRIPTS = sorted((DOCS / "clusters").glob("*.sbatch"))
MANIFEST = DOCS / "clusters" / "rayjob.yaml"


def blocks() -> list[str]:
    """The page's indented blocks; those of a shell, not of a Dockerfile."""
    found = re.findall(r"(?:^(?:    .*|)\n)+", PAGE.read_text(), re.MULTILINE)
    return [block for block in found if block.strip() and not block.strip().startswith("FROM ")]


def command_lines() -> Iterator[str]:
    """Everything that calls rankbench."""
    for text in (*blocks(), *(path.read_text() for path in (*SCRIPTS, MANIFEST))):
        joined = re.sub(r" *\\\n *", " ", text)
        yield from re.findall(r"(?:rankbench|-m harness) (run .*?)(?= +#|' torchrun|\n|$)", joined)


def test_there_is_something_to_test() -> None:
    assert len(SCRIPTS) == 2
    assert len(blocks()) > 5
    assert len(list(command_lines())) == 8


@pytest.mark.parametrize("line", list(command_lines()))
def test_command_lines_are_accepted(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    run = typer.main.get_command(app).commands["run"]
    words = shlex.split(line)[1:]
    assert run.make_context("run", words).params["scenario"]
    with pytest.raises(Exception, match="No such option"):  # what is not accepted is noticed
        run.make_context("run", [*words, "--frobnicate"])


@pytest.mark.parametrize("text", [*blocks(), *(path.read_text() for path in SCRIPTS)])
def test_a_shell_understands_it(text: str) -> None:
    told = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_the_manifest_asks_for_one_cluster_and_its_volume() -> None:
    job, claim = yaml.safe_load_all(MANIFEST.read_text())
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pinned = re.search(r"^ray==(.*)$", (DOCS.parent / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned and cluster["rayVersion"] == pinned[1]
    for group in groups:
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["runs"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
