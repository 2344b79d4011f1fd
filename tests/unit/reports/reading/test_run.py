"""How ranks are spread over hosts: in every row, told where launches differ, and drawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.common.errors import UsageError
from harness.journal.plan import Side
from harness.journal.records import LaunchRecord
from reports.analysis.summary import summarise
from reports.compare.compare import compare
from reports.compare.history import PastRun
from reports.compare.history import alike as alike_runs
from reports.figures.scaling import efficiency_plot, speedup_plot
from reports.formats.formats import export
from reports.reading.run import head, words
from reports.schema.summary import Summary
from tests.factories import build, texts_of, write_texts

SMALL = {"rounds": 4, "visits": 1, "probes": False, "packed": False}
FOUR = {**SMALL, "world_sizes": (1, 2, 4)}
SPREADS = st.lists(st.integers(1, 9), max_size=6).map(tuple)


def halves(_: int, rank: int) -> str:
    """Two ranks on each host."""
    return "ab"[rank // 2]


def each_its_own(_: int, rank: int) -> str:
    return "abcd"[rank]


def caveats(told: Summary) -> list[str]:
    return [claim.text for claim in told.claims if claim.kind == "caveat"]


@given(SPREADS, st.integers(1, 60))
def test_the_first_ranks_are_where_they_are_among_all(spread: tuple[int, ...], ranks: int) -> None:
    owners = [host for host, own in enumerate(spread) for _ in range(own)][:ranks]
    assert head(spread, ranks) == tuple(owners.count(host) for host in range(len(spread)) if host in owners)


@given(SPREADS)
def test_words_name_every_host_and_rank(spread: tuple[int, ...]) -> None:
    parts = re.findall(r"(\d+) hosts? of (\d+) ranks?", words(spread))
    assert [int(ranks) for hosts, ranks in parts for _ in range(int(hosts))] == list(spread)


def test_every_row_has_the_hosts_of_its_own_ranks(tmp_path: Path) -> None:
    told = summarise(build(tmp_path / "run", host=halves, **FOUR))
    assert {row.world_size: row.ranks_per_host for row in told.cells} == {1: (1,), 2: (2,), 4: (2, 2)}
    (layout,) = told.run.sides[0].layouts
    assert (layout.hosts, layout.ranks_per_host, len(layout.launches)) == (("a", "b"), (2, 2), 6)
    assert told.run.sides[0].ranks_per_host == (2, 2)
    assert not caveats(told)


def test_ranks_per_host_are_a_label_of_every_series(tmp_path: Path) -> None:
    text = export(build(tmp_path / "run", host=halves, **FOUR), "openmetrics")
    series = [line for line in text.splitlines() if "world_size=" in line]
    assert len(series) > 12
    told = {re.search(r'world_size="(\d)".*ranks_per_host="([\d+]+)"', line).groups() for line in series}
    assert told == {("1", "1"), ("2", "2"), ("4", "2+2")}


def test_launches_with_other_ranks_per_host_are_told_and_of_no_series(tmp_path: Path) -> None:
    def host(launch: int, rank: int) -> str:
        return halves(launch, rank) if launch < 4 else each_its_own(launch, rank)

    told = summarise(build(tmp_path / "run", host=host, **FOUR))
    (text,) = caveats(told)
    assert text.startswith("Not all launches had as many ranks on each host, so they are not of one series: ")
    assert text.endswith(": 2 hosts of 2 ranks in 4 launches and 4 hosts of 1 rank in 2 launches.")
    assert {row.world_size: row.ranks_per_host for row in told.cells} == {1: (1,), 2: (), 4: ()}


def test_figures_are_of_the_gangs_that_have_samples(tmp_path: Path) -> None:
    """One that was lost before it measured anything, and two halves of one launch that were placed otherwise."""
    run = build(tmp_path / "run", host=lambda *_: "c", **SMALL)
    head_text, *texts = texts_of(run)
    spread = LaunchRecord.model_validate_json(head_text)
    apart = spread.model_copy(
        update={"ranks": tuple(rank.model_copy(update={"host": "ab"[rank.rank]}) for rank in spread.ranks)}
    ).model_dump_json(by_alias=True)
    write_texts(run, [apart, head_text, *texts])
    told = summarise(run)
    assert told.run.sides[0].ranks_per_host == (2,) and not caveats(told)
    assert {row.world_size: row.ranks_per_host for row in told.cells} == {1: (1,), 2: (2,)}
    places = [place for place, text in enumerate(texts) if '"type":"cell"' in text]
    first = next(place for place in places if "how=pieces" in texts[place] and "]@2" in texts[place])
    write_texts(run, [apart, *texts[:first], head_text, *texts[first:]])
    told = summarise(run)
    (text,) = caveats(told)
    assert text.startswith("Not all launches had as many ranks on each host, so they are not of one series: ")
    both = {row.variant: row.ranks_per_host for row in told.cells if row.world_size == 2}
    assert both == {"whole": (), "pieces": (2,)}


def test_launches_on_other_hosts_are_told(tmp_path: Path) -> None:
    told = summarise(build(tmp_path / "run", host=lambda launch, _: f"host {launch // 3}", **SMALL))
    assert caveats(told) == ["Not all launches were on the same hosts: what tells launches apart is hosts too."]
    assert {row.ranks_per_host for row in told.cells} == {(1,), (2,)}


@pytest.mark.parametrize(
    ("launcher", "remedy"),
    [("ray", "start the cluster's nodes with `RAY_worker_niceness=0`"), ("torchrun", "start it without `nice`")],
)
def test_ranks_that_give_way_to_other_processes_are_told(tmp_path: Path, launcher: str, remedy: str) -> None:
    sides = (Side(name=launcher, launcher=launcher),)  # type: ignore[arg-type]
    told = summarise(build(tmp_path / "run", sides=sides, niceness=15, **SMALL))
    what = "The ranks had a niceness of 15, so that other processes went first"
    assert caveats(told) == [f"{what}: {remedy}."]


def test_sides_with_other_ranks_per_host_are_told(tmp_path: Path) -> None:
    sides = (Side(name="torchrun"), Side(name="ray", launcher="ray"))
    alone = build(tmp_path / "plan", sides=sides, launches=12, **SMALL).plan()

    def host(launch: int, rank: int) -> str:
        return "a" if alone.side_of(launch).name == "torchrun" else each_its_own(launch, rank)

    told = summarise(build(tmp_path / "run", sides=sides, launches=12, host=host, **SMALL))
    (text,) = caveats(told)
    assert text.startswith("What tells `ray` from `torchrun` is the number of ranks a host too: ")
    assert text.endswith(": 1 host of 2 ranks on `torchrun` and 2 hosts of 1 rank on `ray`.")


def test_runs_with_other_ranks_per_host_are_not_compared(tmp_path: Path) -> None:
    one, two, four = (
        build(tmp_path / name, seed=seed, host=host, **like).root
        for seed, (name, host, like) in enumerate(
            [("one", lambda *_: "a", SMALL), ("two", each_its_own, SMALL), ("four", halves, FOUR)]
        )
    )
    refusal = r"NEW's ranks per host must equal BASE's \(1 host of 2 ranks\), but is 2 hosts of 1 rank"
    with pytest.raises(UsageError, match=refusal):
        compare(one, two, None)
    assert len(compare(one, four, None).cases) == 4  # the two ranks that both used are on one host
    again = build(tmp_path / "again", seed=9, host=lambda _, rank: "cd"[rank], **SMALL).root
    assert len(compare(two, again, None).cases) == 4  # which hosts they are is no matter


STRANGE = {"software": {"torch": "2.9.0"}, "variables": {"NCCL_ALGO": None}}


def test_hosts_that_are_not_set_up_alike_are_named_and_their_runs_are_of_another_kind(tmp_path: Path) -> None:
    """Whatever the hosts' names."""
    like = {"host": each_its_own, **SMALL}
    alike, strange, same = (
        build(tmp_path / name, seed=seed, hosts=hosts, **like)
        for seed, (name, hosts) in enumerate(
            [("alike", {"b": {}}), ("strange", {"b": STRANGE}), ("same", {"node-b": STRANGE})]
        )
    )
    told = summarise(strange)
    (text,) = caveats(told)
    what = "`software.torch` is 2.9.0, `variables.NCCL_ALGO` is not there"
    assert text == f"`b` is not set up as `a` is: there {what}. Set them up alike: figures are of both."
    (rule,) = [row for row in told.audit if row.rule == 9]
    assert (rule.verdict, rule.evidence) == ("failed", "Not set up as rank 0's host: b.")
    found = {each.name: (each.base, each.new) for each in compare(alike.root, strange.root, None).differences}
    assert found["other hosts.0.software.torch"] == ("as on the first host", "2.9.0")
    assert not [
        each for each in compare(strange.root, same.root, None).differences if each.name.startswith("other hosts")
    ]
    groups, alone = alike_runs(PastRun(run, summarise(run)) for run in (alike, strange, same))
    assert [{told.run for told in group} for group in groups] == [{strange, same}] and alone[0].run == alike
    governed = build(tmp_path / "governed", seed=9, hosts={"b": {"host": {"governor": "powersave"}}}, **like)
    with pytest.raises(UsageError, match=r"other hosts\.0\.host\.governor must equal BASE's \(as on the first host\)"):
        compare(alike.root, governed.root, None)


def test_plots_show_where_the_second_host_begins(tmp_path: Path) -> None:
    spread = summarise(build(tmp_path / "spread", host=halves, **FOUR)).cells
    alone = summarise(build(tmp_path / "alone", **FOUR)).cells
    speedups, efficiencies = speedup_plot(spread, "x"), efficiency_plot(spread, {}, "x")
    for plot in (speedups, efficiencies, speedup_plot(alone, "x"), efficiency_plot(alone, {}, "x")):
        there = plot in (speedups, efficiencies)
        assert plot.count("second host") == len(DOTTED.findall(plot)) == there
    (((left, _), (right, _)),) = ends(DOTTED.findall(speedups))
    two, four = (float(x) for x in re.findall(r'x="([\d.]+)" y="[\d.]+"[^>]*>[24]</text>', speedups))
    assert left == right == pytest.approx(two + (four - two) / 4, abs=0.1)  # between two and three ranks
    (((_, above), (_, below)),) = ends(DOTTED.findall(efficiencies))
    rows = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>(?:[24] devices|whole|pieces)</text>', efficiencies)]
    assert above == below
    assert sum(row < above for row in rows) == sum(row > above for row in rows) == 3


DOTTED = re.compile(r'<path d="(M[^"]*)"[^>]*stroke-dasharray: 0\.6,1\.2;[^>]*stroke: var\(--quiet\)')
"""The line between hosts."""


def ends(paths: list[str]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    found = [re.findall(r"[ML] ?([\d.]+) ([\d.]+)", path) for path in paths]
    return [tuple((float(x), float(y)) for x, y in each) for each in found]


def test_ranks_are_named_with_their_host_and_its_device(tmp_path: Path) -> None:
    """On one host by their device alone."""
    several = summarise(build(tmp_path / "several", host=halves, slow_ranks={3: 1.4}, **FOUR))
    assert any(claim.text.startswith("Rank 3 (b, cpu:1) is slow: ") for claim in several.claims)
    assert any("Rank 3 (b, cpu:1) is slow." in loss.text for loss in several.losses)
    assert [rank.place for rank in several.run.sides[0].places] == ["a, cpu:0", "a, cpu:1", "b, cpu:0", "b, cpu:1"]
    one = summarise(build(tmp_path / "one", slow_ranks={3: 1.4}, **FOUR))
    assert any(claim.text.startswith("Rank 3 (cpu:3) is slow: ") for claim in one.claims)
    assert one.run.sides[0].places == ()
