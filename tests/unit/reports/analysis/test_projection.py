"""Projection: the truth lies within, what cannot be told is refused, and nothing of it counts as measured."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from reports.analysis import projection, summary
from reports.reading.run import Topology
from reports.schema.diagnostics import ProjectionRow
from reports.text import units
from tests import factories

TRUTHS = {
    "serial part": lambda p: 0.02 + 0.98 / p,
    "coherence": lambda p: 0.02 + 0.98 / p + 0.003 * (p - 1),
    "tree": lambda p: 0.01 + 0.99 / p + 0.004 * math.log2(p),
    "ring": lambda p: 0.01 + 0.99 / p + 0.02 * (p - 1) / p + 0.0005 * (p - 1),
    "none of the families": lambda p: 0.005 + 0.995 / p + 0.01 * (math.sqrt(p) - 1),
}
HOST = {"cores": 64}
NEARLY = 1.01
"""The slowest of many ranks is a little later than the truth, which is one rank's."""


def projected(path, *, truth=TRUTHS["tree"], host=HOST, hosts=None, **changes):
    """The rows of a run with a truth; ``host`` is what its environment tells of the host."""

    def time(case):
        return factories.work_time(case) if case.probe else 0.1 * truth(1 if case.packed else case.world_size)

    like = {
        "truth": time,
        "world_sizes": (1, 2, 4, 8),
        "variants": ("whole",),
        "launch_noise": 0.01,
        "noise": 0.002,
        **changes,
    }
    run = factories.build(path / "run", **like)
    run.environment_path.write_text(json.dumps({"host": host}))
    if hosts:
        records = [json.loads(text) for text in factories.texts_of(run)]
        for record in records:
            if record["type"] == "launch":
                record["ranks"] = [rank | {"host": hosts[rank["rank"]]} for rank in record["ranks"]]
        factories.write_texts(run, map(json.dumps, records))
    return summary.summarise(run)


def row_of(path, **changes) -> ProjectionRow:
    (row,) = projected(path, **changes).projection
    return row


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("counts", [(1, 2, 4, 8), (1, 2, 3, 4, 6, 8)])
def test_the_truth_lies_between_what_the_models_say(tmp_path, name, counts):
    truth = TRUTHS[name]
    row = row_of(tmp_path, truth=truth, world_sizes=counts)
    assert row.hold_out.contained
    assert [point.world_size for point in row.points] == [8, 16, 32]
    for point in row.points[1:]:
        true = truth(1) / truth(point.world_size)
        assert point.speedup_low <= true * NEARLY and true <= point.speedup_high * NEARLY
        assert point.efficiency_high == pytest.approx(point.speedup_high / point.world_size)
        last = true - truth(1) / truth(point.world_size - 1)
        assert point.adds_low - 0.02 <= last <= point.adds_high + 0.02
        assert point.speedup_low == min(low for low, _ in point.families.values())
        assert point.speedup_high == max(high for _, high in point.families.values())
        assert set(point.families) == {"Amdahl", "USL", "Amdahl + log"}


def test_one_model_alone_would_have_been_wrong(tmp_path):
    """Amdahl's leaves out a truth with a logarithm, however well it fits."""
    point = row_of(tmp_path, launch_noise=0.001, noise=0.001).points[-1]
    true = TRUTHS["tree"](1) / TRUTHS["tree"](32)
    assert not point.families["Amdahl"][0] <= true <= point.families["Amdahl"][1]
    assert point.speedup_low <= true <= point.speedup_high


def test_nothing_of_it_is_measured(tmp_path):
    found = projected(tmp_path)
    (row,) = found.projection
    assert (row.measured, {point.measured for point in row.points}) == (False, {False})
    with pytest.raises(ValueError, match="measured"):
        ProjectionRow.model_validate(row.model_dump() | {"measured": True})
    assert row.text.startswith("Not measured: ")
    assert {cell.world_size for cell in found.cells} == {1, 2, 4, 8}


def test_the_sentence_says_what_how_sure_and_what_the_last_adds(tmp_path):
    text = row_of(tmp_path).text.replace(units.TIMES, "x")
    assert re.match("Not measured: `split how=whole` might be [0-9.–]+x as fast on 16 devices and ", text)
    assert "x on 32 as on one; the last of 32 adds " in text
    assert "From fewer devices the same models foretell " in text
    assert "x on 8, where 6." in text


def test_weak_scaling_is_projected_by_its_throughput(tmp_path):
    row = row_of(tmp_path, scaling="weak", truth=lambda p: 1 + 0.02 * (p - 1))
    true = 32 / (1 + 0.02 * 31)
    assert row.points[-1].speedup_low <= true * NEARLY and true <= row.points[-1].speedup_high * NEARLY
    assert "the throughput" in row.text


def kinked(p):
    """Fine up to four devices, and then a wall."""
    return 1 / p if p <= 4 else 1 / 4


def test_where_the_largest_count_could_not_be_foretold_the_horizon_is_half(tmp_path):
    row = row_of(tmp_path, truth=kinked)
    assert not row.hold_out.contained
    assert row.hold_out.error > 0.5
    assert row.horizon == 16
    assert [point.world_size for point in row.points] == [8, 16]
    assert re.search("where (3.9|4.0)", row.text)
    assert "so that nothing is said beyond 16 devices" in row.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"world_sizes": (1, 2)}, "few-counts: it needs 4 device counts, and this run has 2 (1 and 2)"),
        ({"launches": 5}, "few-launches: it needs 6 launches that have all counts, and 5 launches have"),
        ({"devices": ("cpu:0",) * 8}, "shared-device: ranks shared devices, so that no time here is that of so many"),
        (
            {"outcomes": {(0, "split[how=whole,size=1024]@4"): ("wrong", 1, "differs")}},
            "few-counts: it needs 4 device counts, and this run has 3 (1, 2 and 8)",
        ),
        (
            {"share": lambda case, rank: (1, 0.5, 0.25, 0.25, 0.25, 0.25, 0, 0)[rank] if case.world_size == 8 else 1},
            "uneven-work: its work divides unequally, at best 2.50x on 8 devices, and no model knows how",
        ),
        ({"host": {"cores": 8}}, "topology: 16 devices are not predictable from this data: this host has 8, and how"),
        ({"host": {}}, "topology: 16 devices are not predictable from this data: no more than 8 are known on this"),
        (
            {"hosts": ["a"] * 4 + ["b"] * 4},
            "topology: 16 devices are not predictable from this data: they would span hosts, as only 8 of the",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_reason(tmp_path, changes, reason):
    row = row_of(tmp_path, **changes)
    assert f"{row.refusal.kind}: {row.refusal.reason}".replace(units.TIMES, "x").startswith(reason)
    assert row.text == f"`split how=whole`: no projection: {row.refusal.reason}."
    assert (row.points, row.horizon) == ((), None)


def test_beyond_hosts_that_were_measured_it_goes_on(tmp_path):
    row = row_of(tmp_path, hosts=["a", "a", "b", "b", "c", "c", "d", "d"], host={"cores": 2})
    assert [point.world_size for point in row.points] == [8, 16, 32]


def test_it_ends_with_the_host(tmp_path):
    row = row_of(tmp_path, host={"cores": 20})
    assert [point.world_size for point in row.points] == [8, 16, 20]
    assert "Of more devices nothing is said: this host has 20" in row.text


def test_gpus_and_cores_of_several_threads_are_counted_as_devices(tmp_path):
    run = factories.build(tmp_path / "run", world_sizes=(1, 2), devices=("cuda:0", "cuda:1"))
    run.environment_path.write_text(json.dumps({"host": {"cores": 96, "gpus": 8}}))
    assert Topology.of(summary.load(run)).room == 8
    row = Topology(("a",) * 8, None)
    assert row.refusal((1, 2, 4), 8) is None
    assert "no more than 8 are known" in str(row.refusal((1, 2, 4), 16))


def test_no_claim_to_scale_no_projection(tmp_path):
    assert projected(tmp_path, scaling="none").projection == ()


def test_the_same_journal_gives_the_same_bytes(tmp_path):
    again = [projected(tmp_path / str(turn)).to_json() for turn in range(2)]
    assert again[0] == again[1]


coefficients = st.tuples(st.floats(0, 0.2), st.floats(0.5, 1), st.floats(0, 0.05))


@given(coefficients, st.sampled_from(list(projection.FAMILIES)))
def test_a_fit_through_the_truth_is_the_truth(given_, name):
    terms = projection.FAMILIES[name](np.array([1.0, 2.0, 4.0, 8.0]))
    told = np.array(given_)[: terms.shape[1]]
    (found,) = projection.fitted(terms, (terms @ told)[None])
    assert found == pytest.approx(told, abs=1e-6)


@given(st.lists(st.lists(st.floats(0.01, 2), min_size=4, max_size=4), min_size=1, max_size=5))
def test_no_other_coefficients_fit_better(seconds):
    """As found one draw at a time by the active sets of Lawson and Hanson."""
    for family in projection.FAMILIES.values():
        terms = family(np.array([1.0, 2.0, 4.0, 8.0]))
        found = projection.fitted(terms, np.array(seconds))
        for own, mine in zip(found, np.array(seconds), strict=True):
            known, residual = optimize.nnls(terms / mine[:, None], np.ones(4))
            assert np.linalg.norm(terms / mine[:, None] @ own - 1) == pytest.approx(residual, abs=1e-6)
            assert own == pytest.approx(known, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-6, 1e3))
def test_units_do_not_matter(factor):
    random = np.random.default_rng(1)
    counts, at = np.array([2.0, 4.0, 8.0, 16.0]), np.array([32.0])
    seconds = (0.02 + 1 / counts) * random.normal(1, 0.02, (6, 4))
    plain, other = (projection.speedups(counts, seconds * unit, at, 3) for unit in (1.0, factor))
    for name, told in plain.items():
        assert other[name] == pytest.approx(told, rel=1e-6)


def test_a_seed_changes_the_band_by_little():
    random = np.random.default_rng(2)
    counts, at = np.array([1.0, 2.0, 4.0, 8.0]), np.array([32.0])
    seconds = (0.02 + 1 / counts) * random.normal(1, 0.01, (6, 4))
    bands = [
        projection.envelope(
            {n: projection.band(d[:, 0]) for n, d in projection.speedups(counts, seconds, at, s).items()}
        )
        for s in range(6)
    ]
    for end in zip(*bands, strict=True):
        assert max(end) / min(end) < 1.1


@pytest.mark.parametrize("name", TRUTHS)
def test_the_truth_is_within_however_the_noise_falls(name):
    counts, at = np.array([1.0, 2.0, 4.0, 8.0]), np.array([32.0])
    within = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        alike, own = (random.normal(1, 0.01, shape) for shape in ((6, 1), (6, 4)))
        seconds = np.array([TRUTHS[name](count) for count in counts]) * alike * own
        draws = projection.speedups(counts, seconds, at, seed)
        low, high = projection.envelope({name: projection.band(told[:, 0]) for name, told in draws.items()})
        within += low <= TRUTHS[name](1) / TRUTHS[name](32) <= high
    assert within >= 38
