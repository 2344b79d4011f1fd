"""Energy and memory of GPUs in the rows: sums over devices, medians over launches, none where a rank is silent."""

import pytest

from reports.analysis import summary
from reports.text import units
from reports.wording import tally as columns
from tests import factories


def rows(tmp_path, counted):
    found = summary.summarise(factories.build(tmp_path / "run", counted=counted, noise=0.0, launch_noise=0.0))
    return {row.key: row for row in found.cells}


def test_power_is_that_of_all_devices_and_energy_is_power_times_the_time(tmp_path):
    found = rows(tmp_path, lambda case, launch, rank: {"watts": 300.0 + 100 * rank + launch})
    one, two = found["split[how=whole,size=1024]@1"], found["split[how=whole,size=1024]@2"]
    assert one.watts == 302.5  # median of launches 0 to 5
    assert two.watts == 2 * 302.5 + 100
    for row in (one, two):
        assert row.joules == pytest.approx(row.watts * row.median_s)
        assert row.flops_per_joule == pytest.approx(row.rate / row.watts)


def test_where_one_rank_does_not_tell_the_launch_does_not_count(tmp_path):
    def counted(case, launch, rank):
        return {"watts": None if rank and launch else 300.0}

    found = rows(tmp_path, counted)
    assert found["split[how=whole,size=1024]@2"].watts == 600.0
    silent = rows(tmp_path / "silent", lambda case, launch, rank: {"watts": None if rank else 300.0})
    row = silent["split[how=whole,size=1024]@2"]
    assert (row.watts, row.joules, row.flops_per_joule) == (None, None, None)


def test_what_a_gpu_held_is_that_of_the_rank_which_held_most(tmp_path):
    found = rows(tmp_path, lambda case, launch, rank: {"reserved_bytes": (rank + 1) * 2**30})
    assert found["split[how=whole,size=1024]@2"].reserved_bytes == 2**31


def test_the_page_has_columns_for_them_only_where_they_are_known(tmp_path):
    known = rows(tmp_path, lambda case, launch, rank: {"watts": 300.0, "reserved_bytes": 2**30})
    table = columns.telling(list(known.values()))
    assert table.columns == ("reserved", "power", "energy a step", "FLOP/s per watt")
    assert table.rows[0][1][1] == f"300{units.THIN}W"
    assert columns.telling(list(rows(tmp_path / "cpu", lambda *_: {}).values())).columns == ()
