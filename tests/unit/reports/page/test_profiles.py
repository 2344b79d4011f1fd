"""Profiles on the page: links to what is there, a line for what is not, and nothing that leads elsewhere."""

import pytest

from harness.common.errors import JournalError
from harness.journal.records import ProfileRecord
from reports.page import page
from tests import factories
from tests.pages import Checked

TORN = "rank 1: AcceleratorError: CUDA error: `<b>`\nCUDA kernel errors might be asynchronously reported"


@pytest.fixture
def run(tmp_path):
    return factories.build(tmp_path / "run", launches=1, probes=False, packed=False)


def told(run, *records):
    added = (record.model_dump_json(by_alias=True) for record in records)
    factories.write_texts(run, [*factories.texts_of(run), *added])
    return page.write(run)


def test_each_case_has_a_link_a_rank_or_the_first_line_of_a_reason(run):
    one, two = (case.key for case in run.plan().comparisons[0].cases if case.variant == "whole")
    files = tuple(f"00-00-split@2-rank{rank}.json.gz" for rank in range(2))
    summary = told(
        run,
        ProfileRecord(comparison=0, case=one, message=TORN),
        ProfileRecord(comparison=0, case=two, files=files, bytes=2048, steps=3),
    )
    assert [(row.key, row.files, row.steps) for row in summary.profiles] == [(one, (), 0), (two, files, 3)]
    reason = "rank 1: AcceleratorError: CUDA error: '<b>'"
    assert summary.profiles[0].message == reason
    (claim,) = [claim.text for claim in summary.claims if "profile" in claim.text]
    assert claim == f"1 of 2 cases has no profile, e.g. `{one}`: {reason}."
    text = run.page_path.read_text()
    assert [link.replace("%40", "@") for link in Checked(text).links if link.startswith("profiles")] == [
        f"profiles/{name}" for name in files
    ]
    assert "&lt;b&gt;" in text and "2.00\N{NO-BREAK SPACE}KiB" in text and "asynchronously" not in text


def test_without_profiles_there_is_no_word_of_them(run):
    summary = told(run)
    assert summary.profiles == () and 'id="profiles"' not in run.page_path.read_text()


def test_of_two_records_of_a_case_the_last_one_holds(run):
    key = run.plan().comparisons[0].cases[0].key
    summary = told(
        run,
        ProfileRecord(comparison=0, case=key, message="at first"),
        ProfileRecord(comparison=0, case=key, files=("a-rank0.json.gz",), bytes=1, steps=1),
    )
    assert [(row.files, row.message) for row in summary.profiles] == [(("a-rank0.json.gz",), None)]


def test_a_name_that_leads_out_of_the_run_makes_no_page(run):
    planted = '{"type":"profile","comparison":0,"case":"x","files":["javascript:alert(1)//x.json.gz"]}'
    factories.write_texts(run, [*factories.texts_of(run), planted])
    with pytest.raises(JournalError, match="pattern"):
        page.write(run)
