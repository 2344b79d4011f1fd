"""Bad input: one clear line on stderr, exit code 2, and nothing written."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from unittest.mock import Mock

import pytest

from harness.cli import app, run
from harness.common.errors import UsageError
from harness.common.startup import Ranks
from harness.device import device
from harness.journal.run_directory import RunDir
from harness.planning import builder
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.plugins import registry
from tests.limits import LIMIT_S

BROKEN = "import torch\nraise RuntimeError('no such cluster')\nclass Mine: ...\n"

MINE = """
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Mine:
    scaling: ClassVar = "none"
    length: int = 3

    def prepare(self, gang): ...
"""

BAD = {
    "run splitt": "did you mean 'split'",
    "run 5.6.9": "did you mean '5.6",
    "run split --set split.sizes=3": "did you mean 'size'",
    "run split --set split.size=big": "of type int",
    "run split --set split.size=": "of type int, but is ''",
    "run split --set split.size=1,,2": "of type int, but is ''",
    "run one/plugin.py:Mine other/plugin.py:Mine --set mine.length=1": "two scenarios 'mine'",
    "run split --set split.how=hole": "did you mean 'whole'",
    "run split --set frobenius.size=3": "name a scenario of this run",
    "run split --set size=3": "scenario.axis=value",
    "run split --devices cpu:999": "1 to",
    "run split --devices cpu:0": "1 to",
    "run split --devices tpu": "--devices must be cpu",
    "run split --devices cpu:1 --world-sizes 1,2": "be at most the 1 devices, but is 2",
    "run split --world-sizes 0": "positive",
    "run split --world-sizes 1,1": "distinct",
    "run split --world-sizes one": "positive",
    "run split --budget 0.1": "for one launch",
    "run split --budget -1": "above zero",
    "run split --budget nan": "above zero",
    "run split --launches 0": "above zero",
    "run split --launches -2": "above zero",
    "run split --launches x": "valid int",
    "run split --threads 0": "above zero",
    "run split --threads 999": "cores of this machine",
    "run split --margin 2": "--margin must be a fraction",
    "run split --margin -1%": "--margin must be a fraction",
    "run split --preset tiny": "--preset must be one of",
    "run split --launcher slurm": "--launcher must be one of",
    "run split --launcher inline --devices cpu:1 --launches 2": "be 1 under --launcher inline",
    "run split --frobnicate": "No such option",
    "run missing.py:Mine": "import without an error",
    "run broken.py:Mine": "no such cluster",
    "run no.such.module:Mine": "import without an error",
    "run --resume nowhere": "run directory",
    "run split --resume nowhere": "stand alone",
    "run split --out taken": "new or empty folder",
    "report nowhere": "run directory",
    "compare nowhere neither": "run directory",
    "duel split": "--b must differ from --a",
    "duel split --b /no/python": "name an interpreter",
    "duel split --b X=1 --turns 0": "above zero",
    "export nowhere": "run directory",
    "runn": "No such command",
    "run split --devices cpu:1 --out gr\udcf6\udcdfe": "--out must have a path that is text, but is 'gr\\udcf6",
    "run --resume gr\udcf6\udcdfe": "--resume must have a path that is text",
    "run gr\udcf6\udcdfe.py:Mine": "import without an error",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text(BROKEN)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugin.py").write_text(MINE)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious.txt").write_text("mine")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert app.run_app(line.split()) == 2
    told = capsys.readouterr()
    assert BAD[line] in told.err
    assert told.err.startswith("rankbench: ")
    assert told.err.count("\n") == 1
    assert not told.out
    assert (
        sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if "__pycache__" not in str(path)) == before
    )


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has the GPU that must be missing")
def test_a_gpu_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_app(["run", "split", "--devices", "cuda:0"]) == 2
    assert "use --devices cpu" in capsys.readouterr().err


def test_list_is_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_app(["list", "--json"]) == 0
    told = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert told["split"]["variants"] == ["whole", "columns", "inner"]
    assert told["frobenius"]["exercises"] == ["5.6.3"]


def test_help_shows_the_commands_and_doctor_examines(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_app(["--help"]) == 0
    told = capsys.readouterr().out
    assert re.findall(r"^  (\w+)  ", told, re.MULTILINE)[-10:] == [
        "list",
        "run",
        "duel",
        "check",
        "script",
        "report",
        "compare",
        "export",
        "selftest",
        "doctor",
    ]
    assert app.run_app(["doctor"]) == 0
    assert "PyTorch" in capsys.readouterr().out


@pytest.mark.parametrize(("folder", "remedy"), [("other", "env -u PYTHONPATH"), ("lib", "in another folder")])
def test_a_stranger_called_launch_is_noticed(tmp_path: Path, folder: str, remedy: str) -> None:
    for name in ("lib", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "lib" / "launch.py").touch()
    told = subprocess.run(
        [sys.executable, "-c", "from harness.__main__ import main; main()", "--help"],
        env={"PYTHONPATH": str(tmp_path / "lib"), "PATH": "/usr/bin"},
        cwd=tmp_path / folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "'launch' must come from" in told.stderr
    assert remedy in told.stderr


def test_without_assertions_nothing_is_measured_since_they_are_the_checks(tmp_path: Path) -> None:
    line = [sys.executable, "-O", "-m", "harness", "run", "split", "--out", str(tmp_path / "run")]
    told = subprocess.run(line, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert told.returncode == 2
    assert "runs without the assertions by which cases are checked" in told.stderr
    assert told.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_plan_holds_every_variant_world_size_and_packed_copy() -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    assert {case.key for case in plan.comparisons[0].cases if not case.probe} == {
        f"split[dtype=float32,how={how},products=2,size=1024]@1" for how in ("whole", "columns", "inner")
    }


def test_two_devices_add_packed_copies_and_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder.device, "cores", lambda: [0, 1, 2, 3])
    plan = make(RunRequest(names=["split"], settings=["split.how=whole,inner"]))
    assert plan.world_sizes == (1, 2, 4)
    keys = {case.key.replace("products=2,size=1024", "") for case in plan.comparisons[0].cases}
    variants = {
        f"split[dtype=float32,how={how},]@{size}"
        for how in ("whole", "inner")
        for size in ("1", "2", "4", "1x2", "1x4")
    }
    probes = {"null@1", "null@2", "null@4"} | {
        f"{name}@{size}" for name in ("spin", "gemm") for size in ("1", "1x2", "1x4")
    }
    assert keys == variants | probes | {"copy[way=copy]@1"}


def test_more_ranks_than_devices_are_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="at most the 1 devices, but is 2; start 1 or fewer ranks"):
        make(RunRequest(devices="cpu:1"), ranks=(2, 2))


def test_the_whole_chapter_at_full_size_takes_minutes_on_eight_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "parse", lambda *_, share: tuple(f"cuda:{index}" for index in range(8)))
    chapter = [name for name, entry in registry.scenarios().items() if entry.numbers]
    plan = make(RunRequest(names=chapter, preset="full"))
    assert {comparison.scenario for comparison in plan.comparisons} == set(chapter)
    assert (plan.launches, plan.world_sizes) == (6, (1, 2, 4, 8))
    assert plan.budget_s <= 600


def test_full_sweeps_the_axes_and_settings_override() -> None:
    full = make(RunRequest(names=["frobenius"], devices="cpu:1", preset="full"))
    assert [comparison.params["size"] for comparison in full.comparisons] == [100, 512]
    chosen = make(
        RunRequest(names=["frobenius"], devices="cpu:1", settings=["frobenius.size=8,16", "frobenius.matrices=4"])
    )
    assert [comparison.params for comparison in chosen.comparisons] == [
        {"matrices": 4, "size": 8},
        {"matrices": 4, "size": 16},
    ]


def test_a_small_budget_plans_fewer_launches() -> None:
    assert make(RunRequest(names=["split"], devices="cpu:1", budget_s=6)).launches < 6
    assert make(RunRequest(names=["split"], devices="cpu:1", budget_s=600)).launches == 6


def test_runs_of_one_plan_belong_together_however_often_they_are_launched() -> None:
    one, more = (make(RunRequest(names=["split"], devices="cpu:1", launches=count)) for count in (1, 3))
    other = make(RunRequest(names=["split"], devices="cpu:1", seed=1))
    assert one.identity == more.identity != other.identity


def test_list_of_one_scenario_shows_how_to_set_its_axes(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_app(["list", "5.6.3"]) == 0
    told = capsys.readouterr().out
    assert "--set frobenius.matrices=1000" in told
    assert "5.6.3  Multiply 1000 pairs" in told
    assert "split" not in told


def test_of_many_comparisons_every_fourth_has_probes_beside_it() -> None:
    few = make(RunRequest(names=["split", "frobenius"], devices="cpu:1"))
    many = make(RunRequest(preset="chapter", devices="cpu:1"))
    assert all(any(case.probe for case in comparison.cases) for comparison in few.comparisons)
    probed = [any(case.probe for case in comparison.cases) for comparison in many.comparisons]
    assert len(probed) > 6
    assert probed == [index % 4 == 0 for index in range(len(probed))]


def test_the_chapter_leaves_packed_copies_to_runs_of_a_scenario_so_that_it_fits_its_ten_minutes() -> None:
    """Ten minutes hold six launches of some 200 cases on two cores, and not of 300."""

    def copies(**wished: Any) -> int:
        plan = make(RunRequest(devices="cpu:2", **wished))
        return sum(case.packed and not case.probe for each in plan.comparisons for case in each.cases)

    assert copies(preset="chapter") == 0
    assert copies(preset="full") > 0
    assert copies(names=list(registry.scenarios())) > 0


def test_what_only_the_whole_cluster_has_is_refused_where_torchrun_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder.device, "cores", lambda: [0, 1])
    nodes = [{"cpu": 2, "cuda": 0}] * 2
    for launcher, most in (("ray", 4), ("torchrun,ray", 2)):
        like = {"names": ["split"], "launcher": launcher, "nodes": nodes}
        assert len(make(RunRequest(devices=f"cpu:{most}", **like)).devices) == most
    with pytest.raises(UsageError, match="--devices must name 1 to 2 CPU devices, but is cpu:4"):
        make(RunRequest(devices="cpu:4", **like))


def test_a_run_on_a_cluster_is_resumed_where_the_cluster_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = []
    monkeypatch.setattr(run, "measure", lambda directory, plan, *rest: addresses.append(plan.ray_address) or 0)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")  # as in a job
    nodes = [{"cpu": 2, "cuda": 0}]
    for launcher, address in (("ray", "10.0.0.1:6379"), ("torchrun", None)):
        directory = RunDir(tmp_path / launcher)
        directory.create(make(RunRequest(names=["split"], launcher=launcher, ray_address=address, nodes=nodes)))
        assert app.run_app(["run", "--resume", str(directory.root)]) == 0
    assert addresses == ["10.0.0.9:6379", None]


def test_a_gang_that_never_met_has_no_run_to_report_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under somebody's torchrun: rank 0 has said why already, and there is no plan."""
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    assert run.measure(RunDir(tmp_path / "run"), plan, lambda *_: False) == 1
    assert capsys.readouterr().err == ""


def test_runs_that_start_in_one_second_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr(run.dt, "datetime", Frozen)
    monkeypatch.chdir(tmp_path)
    names = [run._directory(None).root.name for _ in range(3)]
    assert names == ["2026-01-02-030405", "2026-01-02-030405-2", "2026-01-02-030405-3"]


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.journal.log.disk_usage", lambda _: Mock(free=999_999))
    assert app.run_app(["run", "split", "--devices", "cpu:1", "--out", str(tmp_path / "new" / "run")]) == 2
    assert "run directory must have room for 1000 kB" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_terminal_that_does_not_know_its_width_shows_something(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert app.run_app(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rankbench")


def test_files_of_the_working_directory_take_no_module_s_place(tmp_path: Path) -> None:
    for name in ("json.py", "gc.py", "launch.py"):
        (tmp_path / name).write_text("raise RuntimeError('this is no module')\n")
    line = [sys.executable, "-m", "harness", "list", "split"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "size" in done.stdout


def test_a_run_whose_code_has_changed_is_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, root = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(SCENARIO)
    RunDir(root).create(make(RunRequest(names=[f"{file}:Mine"], devices="cpu:1")))
    file.write_text(SCENARIO + "# another step\n")
    assert app.run_app(["run", "--resume", str(root)]) == 2
    said = capsys.readouterr().err
    assert said == (
        "rankbench: --resume must measure what was planned, but is mine, whose code has changed since; "
        "put it back, or start another run\n"
    )
    assert not (root / "journal.jsonl").exists()


def test_a_run_over_several_hosts_is_not_finished_by_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builder.device, "cores", lambda: [0, 1])
    directory = RunDir(tmp_path / "a run")
    directory.create(make(RunRequest(names=["split"], devices="cpu:2"), (4, 2)))
    files = sorted(directory.root.iterdir())
    assert app.run_app(["run", "--resume", str(directory.root)]) == 2
    line = f"torchrun --nnodes=2 --nproc-per-node=2 … -m harness run --resume '{directory.root}'"
    assert capsys.readouterr().err.endswith(f"on one of them; give on each of the 2 hosts: {line}\n")
    assert sorted(directory.root.iterdir()) == files


@pytest.mark.parametrize(
    ("planned", "launcher", "ranks", "refusal"),
    [
        ((4, 2), None, Ranks(0, 0, 4, 2), None),
        ((4, 2), None, Ranks(0, 0, 4, 4), "torchrun must start as many ranks on each host as the run has, 2"),
        ((4, 2), None, Ranks(0, 0, 2, 2), "torchrun must start as many ranks on each host as the run has, 2"),
        (None, "torchrun", Ranks(0, 0, 2, 2), None),
        (None, "torchrun", Ranks(0, 0, 2, 1), "torchrun must start as many ranks on each host as the run has, 2"),
        (None, "torchrun,ray", Ranks(0, 0, 2, 2), "--resume must name a run of torchrun alone under torchrun"),
    ],
)
def test_under_torchrun_a_run_is_finished_by_ranks_that_are_placed_as_before(
    monkeypatch: pytest.MonkeyPatch, planned: tuple[int, int] | None, launcher: str | None, ranks: Ranks, refusal: str
) -> None:
    monkeypatch.setattr(builder.device, "cores", lambda: [0, 1])
    plan = make(RunRequest(names=["split"], devices="cpu:2", launcher=launcher), planned)
    if refusal is None:
        run._refuse_other_ranks(RunDir(Path("x")), plan, ranks)
        return
    with pytest.raises(UsageError, match=f"^{refusal}.*{plan.program} run --resume x$"):
        run._refuse_other_ranks(RunDir(Path("x")), plan, ranks)


SCENARIO = """
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Mine:
    scaling: ClassVar = "none"

    def prepare(self, gang): ...
"""
