"""summary.json of five synthetic runs, number by number and word by word."""

import json

import pytest

from tests.summaries import KEPT, RUNS, document


@pytest.mark.parametrize("name", RUNS)
def test_a_summary_is_the_one_that_is_kept(name, tmp_path):
    """Where it ought to change: ``python -m tests.summaries``, and read the difference."""
    kept = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    found = document(name, tmp_path)
    assert found.keys() == kept.keys()
    for part in kept:
        assert found[part] == kept[part], part
