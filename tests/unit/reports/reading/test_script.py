"""How a script's work grows with its devices, by what its ranks' steps were handed."""

import pytest

from harness.journal.records import RankFacts
from reports.reading.script import scaling


def cell(*items):
    counts = {"flops": 0, "bytes": 0, "counted_flops": 0, "host_reads": 0, "first_s": 1, "cpu_s": 1, "wall_s": 1}
    return tuple(RankFacts(items=each, **counts) for each in items)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([cell(16), cell(16, 16)], "weak"),
        ([cell(16), cell(8, 8), cell(4, 4, 4, 4)], "strong"),
        ([cell(16), cell(16), cell(8, 8)], "strong"),
        ([cell(16), cell(10, 10)], "none"),
        ([cell(16), cell(16)], "none"),
        ([cell(0), cell(0, 0)], "none"),
        ([cell(16), cell(16, 0)], "none"),
        ([], "none"),
    ],
)
def test_scaling_is_told_by_the_samples_of_the_ranks(cells, expected):
    assert scaling(cells) == expected
