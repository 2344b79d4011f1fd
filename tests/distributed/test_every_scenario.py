"""Every scenario of the catalog, end to end: inline on one device, and through torchrun on two."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.plugins import registry
from tests.distributed.conftest import rankbench
from tests.unit.scenarios.test_every_scenario import SMALL

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

ENTRIES = registry.scenarios()


@pytest.mark.parametrize(("launcher", "sizes"), [("inline", (1,)), ("torchrun", (1, 2))])
def test_every_scenario_runs(launcher: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    root = tmp_path / "run"
    entries = {name: entry for name, entry in ENTRIES.items() if entry.ranks[0] <= max(sizes)}
    small = [
        f"{name}.{field}={value}"
        for name, fields in SMALL.items()
        if name in entries
        for field, value in fields.items()
    ]
    small += [f"{entry.name}.{entry.variant_field}={entry.baseline}" for entry in entries.values()]
    settings = [word for setting in small for word in ("--set", setting)]
    run = rankbench(
        "run", *entries, "--preset", "smoke", "--devices", f"cpu:{len(sizes)}", "--launcher", launcher,
        "--launches", 1, "--budget", 24, *settings, "--out", root,
        root=root,
    )  # fmt: skip
    assert run.code == 0, run.out
    assert {cell.status for cell in run.cells} == {"ok"}
    rows = {(row["scenario"], row["variant"], row["world_size"]) for row in run.summary["cells"]}
    assert rows == {
        (entry.name, entry.baseline, size) for entry in entries.values() for size in sizes if size >= entry.ranks[0]
    }
    assert not (root / "scratch").exists()
