"""Samples as arrays: the same numbers as the journal's records, and lines that fit together or are refused."""

import json
import math

import numpy as np
import pytest

from harness.common.errors import JournalError
from harness.journal import log
from harness.journal.log import sealed
from harness.journal.records import CellRecord, Samples
from reports.reading.run import load
from reports.reading.samples import KINDS, parse
from tests import factories


@pytest.fixture
def run(tmp_path):
    return factories.build(
        tmp_path / "run", launches=1, world_sizes=(1, 2), device_events=True, clock=lambda i, _: (1000 + i, 4)
    )


def test_every_sample_is_read_as_the_journal_has_it(run):
    evidence = load(run)
    told = [entry for entry in run.entries() if isinstance(entry, CellRecord)]
    assert len(told) == len(evidence.samples) == 12
    for record in told:
        place = record.launch, record.comparison, record.case
        assert evidence.records[place] == record.model_copy(update={"samples": None})
        for name in KINDS:
            assert np.array_equal(getattr(evidence.samples[place], name), np.array(getattr(record.samples, name))), name


def test_every_list_that_a_journal_may_have_is_known():
    assert list(KINDS) == list(Samples.model_fields)


def line(**changes):
    samples = {"round": [0, 0], "position": [1, 1], "start_s": [[1.0, 2.0]], "end_s": [[1.5, 3]]} | changes
    samples = {name: values for name, values in samples.items() if values is not ...}
    head = {"type": "cell", "launch": 0, "comparison": 0, "case": "a@1", "status": "ok"}
    return json.dumps(head | {"samples": samples}).encode()


def test_a_plain_line_is_taken():
    record, taken = parse(line())
    assert (record.case, record.samples) == ("a@1", None)
    assert taken.seconds(2).tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"start_s": ...}, "lack start_s"),
        ({"round": None}, "lack round"),
        ({"more": [1]}, "know no more"),
        ({"start_s": [[1.0, 2.0], [1.0]]}, "several lengths"),
        ({"end_s": [[1.0]]}, r"end_s has the shape \(1, 1\)"),
        ({"round": [0]}, r"round has the shape \(1,\)"),
        ({"position": [0.5, 1.0]}, "whole numbers"),
        ({"start_s": [1.0, 2.0]}, "no list of lists of numbers"),
        ({"end_s": [["1.5", "2"]]}, "no list of lists of numbers"),
        ({"end_s": [[None, 2.0]]}, "no list of lists of numbers"),
        ({"held_back": [[True, False]]}, "whole numbers"),
        ({"end_s": 7}, "no list"),
        ({"end_s": {"a": 1}}, "no list"),
        ({"end_s": [[math.nan, 1.0]]}, "NaN|expected value"),
        ({"end_s": [[1.5, 2.0]]}, "no time after its start"),
        ({"end_s": [[0.5, 2.5]]}, "no time after its start"),
        ({"end_s": [[1.5, 1e300]]}, "no time after its start"),
        ({"device_s": [[-1.0, 0.5]]}, "a duration that is none"),
    ],
)
def test_lists_that_are_none_or_do_not_fit_are_refused_with_their_place(tmp_path, changes, told):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(sealed(line()) + sealed(line(**changes)))
    with pytest.raises(JournalError, match=rf"line 2 .*{told}"):
        list(log.read_by(parse, path))


def test_samples_of_other_ranks_than_the_case_has_are_refused(run):
    def fewer(text):
        told = json.loads(text)
        if told["type"] == "cell" and told["case"].endswith("@2"):
            for name in told["samples"].keys() - {"round", "position"}:
                told["samples"][name].pop()
        return json.dumps(told)

    factories.edit(run, fewer)
    with pytest.raises(JournalError, match="in launch 0 samples of 1 ranks, and not of 2"):
        load(run)


def test_an_empty_list_of_samples_is_none(run):
    told = factories.texts_of(run)
    empty = line(round=[], position=[], start_s=[[]], end_s=[[]]).decode()
    key = next(json.loads(text)["case"] for text in told if '"type":"cell"' in text)
    factories.write_texts(run, [*told, empty.replace("a@1", key)])
    assert (0, 0, key) not in load(run).samples
