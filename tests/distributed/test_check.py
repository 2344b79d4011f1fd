"""``rankbench check`` by real ranks: what each mistake of a scenario is called, and that nothing is left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.device.device import cores
from tests.distributed.conftest import Run, rankbench

PLUGIN = Path(__file__).with_name("checked.py")

pytestmark = pytest.mark.skipif(len(cores()) < 2, reason="needs two cores")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both scenarios of a file, with temporary files in a folder of their own."""
    root = tmp_path_factory.mktemp("checked")
    return rankbench("check", PLUGIN, "--devices", "cpu:2", root=root, TMPDIR=root)


def test_each_case_has_a_line_with_its_status_and_reason(checked: Run) -> None:
    lines = dict(re.findall(r"^(\w+(?:\[how=\w+\])?@\d): (.*)$", checked.out, re.MULTILINE))
    assert len(lines) == 2 + 2 * 6, checked.out
    for size in (1, 2):
        assert lines[f"right@{size}"].startswith(f"ok; {size * 2 * 64**3:.4g} FLOP declared, {size * 2 * 64**3:.4g} c")
        assert lines[f"mistaken[how=right]@{size}"].startswith("ok")
        assert lines[f"mistaken[how=blind]@{size}"].startswith("ok")
        assert re.match(r"wrong on rank \d: it differs", lines[f"mistaken[how=wrong]@{size}"])
        assert lines[f"mistaken[how=less]@{size}"].startswith("wrong")
        assert lines[f"mistaken[how=skips]@{size}"] == "skipped by design: it makes no sense here"
    assert lines["mistaken[how=raises]@1"].startswith("ok")
    assert re.match(r"error on rank \d: ValueError: a mistake", lines["mistaken[how=raises]@2"])
    assert 'raise ValueError("a mistake")' in checked.out
    assert checked.code == 1


def test_a_check_that_takes_other_numbers_is_named_and_no_other(checked: Run) -> None:
    parts = re.split(r"^(?=\S)", checked.out, flags=re.MULTILINE)
    blind = [part.partition(":")[0] for part in parts if "blind-check" in part]
    assert blind == ["mistaken[how=blind]@1"]


def test_nothing_is_left(checked: Run) -> None:
    assert not [path for path in checked.root.iterdir() if path.name.startswith("rankbench")]
