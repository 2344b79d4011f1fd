"""Scripts of users, measured as they are: real processes, real gloo; none of them imports rankbench."""

from pathlib import Path

import pytest

from tests.distributed.conftest import Run, command, rankbench

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
