"""Scripts of users, measured as they are: real processes, real gloo; none of them imports rankbench."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.journal.plan import Record
from harness.journal.protocol import Order
from harness.journal.records import CellRecord
from harness.planning.script import ScriptRequest, make
from harness.world.control import StopRequest
from launch.local.script import ScriptLauncher
from launch.processes.cleanup import marked
from tests.distributed.conftest import Run, command, rankbench
from tests.limits import LIMIT_S

SCRIPTS = Path(__file__).parents[1] / "scripts"
STEPS, SKIP = 6, 3
COUNTS = ("--steps", STEPS, "--skip", SKIP)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A plain loop with DDP, through the command line, with all that follows."""
    root = tmp_path_factory.mktemp("script") / "run"
    program = (SCRIPTS / "plain_ddp.py", "--note", "two words")
    return rankbench("script", "--devices", "cpu:2", "--launches", 2, *COUNTS, "--out", root, *program, root=root)


def test_a_script_is_measured_on_each_number_of_devices_in_each_launch(plain: Run) -> None:
    assert plain.code == 0, plain.out
    assert [cell.status for cell in plain.cells] == ["unchecked"] * 4
    for cell in plain.cells:
        assert cell.samples is not None
        assert {len(rank) for rank in cell.samples.start_s} == {STEPS}
        assert len(cell.samples.start_s) == int(cell.case.rpartition("@")[2])


def test_steps_samples_and_replicas_are_told(plain: Run) -> None:
    both = next(cell for cell in plain.cells if cell.case.endswith("@2"))
    assert both.facts[0].found["steps"] == STEPS
    assert both.facts[0].found["replicas"] == "alike"
    assert [facts.items for facts in both.facts] == [16.0, 16.0]
    assert 0 < both.facts[0].found["loader_share"] < 1


def test_a_script_whose_ranks_have_batches_of_one_size_scales_weakly(plain: Run) -> None:
    assert plain.summary["comparisons"] == []
    assert [about["scaling"] for about in plain.summary["about"]] == ["weak"]


def test_the_script_gets_its_arguments_and_ends_in_good_order(plain: Run) -> None:
    logs = sorted((plain.root / "logs").rglob("*.stdout"))
    assert len(logs) == 2 * (1 + 2)
    assert all(log.read_text().endswith("destroyed the process group\n") for log in logs)
    assert "'two words'" in plain.summary["run"]["command"]


def test_every_table_says_that_nothing_was_checked(plain: Run) -> None:
    assert plain.out.count("unchecked") >= 2
    assert "none of them checked" in plain.page
    for form in ("csv", "markdown", "json"):
        assert "unchecked" in command("export", plain.root, "--format", form).stdout


def measure(
    name: str, *arguments: str, sizes: str = "2", folder: Path = SCRIPTS, logs: Path, **options: Any
) -> dict[int, CellRecord]:
    """One launch of a script by the launcher alone; its cells by world size."""
    request = ScriptRequest(
        program=(name, *arguments), folder=str(folder), devices="cpu:2", world_sizes=sizes, launches=1, skip=SKIP,
        **{"steps": STEPS} | options,
    )  # fmt: skip
    plan = make(request)
    todo = {0: plan.comparisons[0].cases}
    order = Order(plan=plan, launch=0, attempt=0, todo=todo, budget_s=LIMIT_S, fingerprint="", scratch="")
    heard: list[Record] = []
    with ScriptLauncher(logs, plan.sides[0], StopRequest()) as launcher:
        assert launcher.launch(order, heard.append) is None
        if "hang" in arguments:
            assert not marked(launcher._mark)
    cells = [record for record in heard if isinstance(record, CellRecord)]
    return {int(cell.case.rpartition("@")[2]): cell for cell in cells}


def trouble(what: str, logs: Path, size: int = 2, **options: Any) -> CellRecord:
    return measure("troubles.py", what, sizes=str(size), logs=logs, **options)[size]


def test_a_rank_that_raises_is_an_error_that_quotes_it(tmp_path: Path) -> None:
    cell = trouble("raise", tmp_path / "logs")
    assert (cell.status, cell.rank) == ("error", 1)
    assert (cell.message or "").startswith("ValueError: a planted error; see logs/launch-0-0-on-2/rank-1.stderr")
    assert "a planted error" in (tmp_path / "logs/launch-0-0-on-2/rank-1.stderr").read_text()


def test_a_script_that_exits_with_a_code_is_an_error(tmp_path: Path) -> None:
    cell = trouble("exit", tmp_path / "logs", size=1)
    assert cell.status == "error"
    assert "sys.exit(3)" in (cell.message or "")


def test_a_rank_that_is_killed_has_died(tmp_path: Path) -> None:
    cell = trouble("die", tmp_path / "logs")
    assert (cell.status, cell.rank) == ("died", 1)
    assert "SIGKILL" in (cell.message or "")


def test_a_rank_that_hangs_is_named_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    cell = trouble("hang", tmp_path / "logs", deadline_s=20.0)
    assert (cell.status, cell.rank) == ("hang", 1)
    assert "troubles.py" in (cell.message or "")


def test_a_script_that_ends_early_is_told_how_many_steps_it_lacks(tmp_path: Path) -> None:
    cell = trouble("early", tmp_path / "logs", size=1)
    assert cell.status == "error"
    assert "ended after 5 steps, of which 2 came after the warm-up" in (cell.message or "")


def test_replicas_that_differ_are_wrong(tmp_path: Path) -> None:
    cell = trouble("differ", tmp_path / "logs")
    assert (cell.status, cell.rank) == ("wrong", 1)
    assert "parameters differ" in (cell.message or "")


def test_a_loss_that_is_no_number_is_wrong_and_what_is_printed_in_bulk_is_cut(tmp_path: Path) -> None:
    assert trouble("nan", tmp_path / "logs", size=1).status == "wrong"
    assert trouble("bulk", tmp_path / "logs", size=1, steps=40).status == "unchecked"
    (log,) = (tmp_path / "logs").rglob("rank-0.stdout")
    assert log.stat().st_size < 5_000_000


def test_a_script_for_one_process_is_measured_on_one_device_and_skipped_on_more(tmp_path: Path) -> None:
    cells = measure("troubles.py", "undistributed", sizes="1,2", logs=tmp_path / "logs")
    assert cells[1].status == "unchecked"
    assert cells[2].status == "skipped"
    assert "no process group" in (cells[2].message or "")


@pytest.mark.parametrize(("program", "module"), [("facts.py", False), ("trainer.main", True)])
def test_a_program_finds_what_plain_python_would_give_it(program: str, module: bool, tmp_path: Path) -> None:
    beside = SCRIPTS / "beside"
    folder = beside if module else tmp_path
    target = [program] if module else [str(beside / program)]
    words = [*target, "--name", "two words", "--", "-m"]
    plain = subprocess.run(
        [sys.executable, *(["-m"] if module else []), *words],
        cwd=folder, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S,
    )  # fmt: skip
    cells = measure(*words, sizes="1", folder=folder, logs=tmp_path / "logs", module=module)
    assert "no optimizer had stepped" in (cells[1].message or "")
    (log,) = (tmp_path / "logs").rglob("rank-0.stdout")
    assert json.loads(log.read_text()) == json.loads(plain.stdout)


PUBLIC = {
    "fsdp2_bf16": 0.0,
    "accumulation": 32.0,
    "accelerate_style": 4.0,
    "lightning_style": 0.0,
    "loader_workers": 4.0,
}
"""Scripts in the manner of what people run; and the samples that each rank's step is handed."""


@pytest.mark.parametrize("name", PUBLIC)
def test_steps_of_public_style_scripts_are_counted_exactly(name: str, tmp_path: Path) -> None:
    cell = measure(f"{name}.py", logs=tmp_path / "logs")[2]
    assert (cell.status, cell.message) == ("unchecked", None)
    assert cell.samples is not None
    assert [len(rank) for rank in cell.samples.start_s] == [STEPS, STEPS]
    assert [facts.items for facts in cell.facts] == [PUBLIC[name]] * 2
    logs = sorted((tmp_path / "logs").rglob("*.stdout"))
    assert [log.read_text() for log in logs] == [f"steps {SKIP + STEPS}\n"] * 2, "as the script itself counts"
    found = cell.facts[0].found
    assert found["replicas"] == ("not compared: parameters are sharded" if name == "fsdp2_bf16" else "alike")
    if name == "loader_workers":
        assert float(found["loader_share"]) > 0.5, "its batches take 80 ms"
    if name == "accelerate_style":
        assert int(found["skipped_updates"]) > SKIP, "its scale is too large at first"


@pytest.mark.parametrize("mark", [True, False])
def test_steps_without_an_optimizer_are_marked_by_the_script_or_are_calls_of_its_model(
    mark: bool, tmp_path: Path
) -> None:
    options = {} if mark else {"steps_by": "forward"}
    cell = measure("inference.py", *["--mark"] * mark, sizes="1", logs=tmp_path / "logs", **options)[1]
    assert cell.status == "unchecked", cell.message
    (log,) = (tmp_path / "logs").rglob("*.stdout")
    assert log.read_text() in {f"steps {SKIP + STEPS + more}\n" for more in range(2)}, "a mark follows its step"
