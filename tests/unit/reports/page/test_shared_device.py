"""Ranks that share a device: marked wherever a figure of theirs is shown, and never drawn or told as scaling."""

import csv
import io
import re

import pyarrow.parquet
import pytest
from rich.console import Console

from harness.journal.measurement_warnings import Kind
from reports.formats import formats, terminal
from reports.page import page
from tests import factories

SCALING = ("speedup", "efficiency", "ideal_s", "ideal_speedup", "ceiling_speedup")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four sizes, of which a projection could be made, if they were of so many devices."""
    sizes = (1, 2, 4, 8)
    return factories.build(tmp_path_factory.mktemp("shared") / "run", world_sizes=sizes, devices=("cuda:0",) * 8)


@pytest.fixture(scope="module")
def summary(run):
    return page.write(run)


def test_no_figure_is_one_of_scaling(summary):
    assert all(getattr(row, name) is None for row in summary.cells for name in SCALING)
    assert summary.losses == () and summary.ceilings == ()
    assert not any(row.points for row in summary.projection)
    assert not any(claim.kind == "scaling" for claim in summary.claims)


def test_every_case_on_several_ranks_is_marked_and_no_other(summary):
    marked = {row.key for row in summary.cells if Kind.SHARED_DEVICE in {each.kind for each in row.warnings}}
    assert marked == {row.key for row in summary.cells if row.world_size > 1} != set()
    assert summary.claims[0].text == "Several ranks shared one device, so nothing here is a scaling figure."
    assert summary.run.shared_device


def test_the_page_says_so_and_draws_no_scaling(run, summary):
    text = run.page_path.read_text()
    assert "Several ranks shared one device" in text and "shared device: ranks shared one device" in text
    titles = " ".join(re.findall(r"<h[234]>([^<]*)</h[234]>", text))
    assert "Time of one step" in titles
    assert not re.search("speed-up|efficiency|projected|why not linear", titles, re.IGNORECASE)
    assert "ideal" not in " ".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))


def test_the_table_marks_them_too(summary):
    console = Console(file=io.StringIO(), width=160)
    terminal.show(summary, console)
    text = console.file.getvalue()
    assert "a shared-device" in text
    rows = re.findall(r"^ +how=\w+ +(\d) .*?( a)?$", text, re.MULTILINE)
    assert len(rows) == 8 and all((size != "1") == bool(mark) for size, mark in rows)


@pytest.mark.parametrize("form", sorted(formats.FORMATS))
def test_every_export_is_marked_and_that_of_devices_of_their_own_is_not(run, form, tmp_path):
    told = formats.export(run, form)
    own = formats.export(factories.build(tmp_path / "own"), form)
    if form in ("csv", "parquet"):
        rows, others = (_rows(each) for each in (told, own))
        assert all(str(row["shared_device"]) == str(int(row["world_size"]) > 1) for row in rows)
        assert "shared_device" not in others[0]
    else:
        marks = re.compile(r"shared[-_ ]one[-_ ]device|shared-device|shared_device(?!.: false)")
        assert marks.search(told) and not marks.search(own)


def _rows(told):
    if isinstance(told, bytes):
        return pyarrow.parquet.read_table(io.BytesIO(told)).to_pylist()
    return list(csv.DictReader(io.StringIO(told)))
