"""Hosts measured by themselves: the slow one is named, with its interval, and nobody where a run cannot tell."""

import json

import pytest
from rich.console import Console

from reports.analysis import summary
from reports.formats import terminal
from tests import factories

FOUR = {"world_sizes": (1, 4), "host": lambda _, rank: f"node-{rank // 2}", "host_ranks": 2}
SLOW = {2: 1.4, 3: 1.4}


def hosts_of(tmp_path, **changes):
    found = summary.summarise(factories.build(tmp_path / "run", **(FOUR | changes)))
    texts = [claim.text for claim in found.claims if claim.kind == "hosts"]
    return found, [text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MULTIPLICATION SIGN}", "x") for text in texts]


def test_a_slow_host_is_named_before_anything_is_said_of_scaling(tmp_path, capsys):
    found, (text,) = hosts_of(tmp_path, slow_ranks=SLOW)
    assert text.startswith("Host `node-1` is slow by itself: 1.4")
    assert "the time of the other host in" in text and "slowest in 6 of 6 launches, and in 1 more case." in text
    assert next(claim.kind for claim in found.claims) == "hosts"
    assert {(row.host, row.key[-4:], row.named) for row in found.hosts} == {
        (host, "@2x2", host == "node-1") for host in ("node-0", "node-1")
    }
    terminal.show(found, Console(width=120))
    assert "Host node-1 is slow by itself" in capsys.readouterr().out


def test_one_slow_rank_of_a_host_makes_its_host_slow(tmp_path):
    _, (text,) = hosts_of(tmp_path, slow_ranks={1: 1.35})
    assert text.startswith("Host `node-0` is slow by itself: 1.3")


def test_pauses_that_no_median_shows_make_a_host_slow(tmp_path):
    """A quota lets most samples pass at full speed, and holds up the others."""
    run = factories.build(tmp_path / "run", **FOUR)

    def hold_up(text):
        record = json.loads(text)
        if record.get("case", "").endswith("@2x2"):
            for rank, times in enumerate(record["samples"]["end_s"]):
                times[::3] = [end_s + 0.1 * (rank > 1) for end_s in times[::3]]
        return json.dumps(record)

    factories.edit(run, hold_up)
    assert {row.host: row.named for row in summary.summarise(run).hosts} == {"node-0": False, "node-1": True}


def test_a_copy_of_one_device_is_that_of_a_host_which_has_no_more(tmp_path):
    found, (text,) = hosts_of(
        tmp_path, world_sizes=(1, 2), host=lambda _, rank: "ab"[rank], host_ranks=None, slow_ranks={1: 1.4}
    )
    assert text.startswith("Host `b` is slow by itself") and {row.key[-4:] for row in found.hosts} == {"@1x2"}


def test_without_a_slow_host_none_is_named(tmp_path):
    _, texts = hosts_of(tmp_path)
    assert texts == ["Measured by itself, no host is slower than the others by more than 14 %."]


def test_between_both_it_is_undecided(tmp_path):
    _, (text,) = hosts_of(tmp_path, slow_ranks=SLOW | {2: 1.1, 3: 1.1}, launch_noise=0.0, noise=0.05)
    assert text.startswith("Whether a host is slow is undecided: `node-1` takes 1.1")


@pytest.mark.parametrize(
    "changes",
    [
        {"launches": 3},
        {"host": lambda *_: "node"},
        {"host": lambda _, rank: f"node-{rank // 3}"},
    ],
)
def test_nothing_is_said_where_hosts_were_not_measured_by_themselves(tmp_path, changes):
    assert hosts_of(tmp_path, slow_ranks=SLOW, **changes)[1] == []


def test_a_host_is_followed_from_launch_to_launch_by_its_name(tmp_path):
    """Rank 0's host of the second half is the first half's other one."""
    place = {"host": lambda launch, rank: f"node-{(rank // 2 + launch // 3) % 2}"}
    found, texts = hosts_of(tmp_path, slow_ranks=SLOW, **place)
    assert {row.slowest_launches for row in found.hosts} == {3} and not any("is slow by" in text for text in texts)
