"""The CSV, and summary.json recomputed from it by other means: csv and statistics, no pandas, no reports."""

import csv
import io
import itertools
import math
import statistics
from collections import defaultdict

import pytest

from harness.common.errors import UsageError
from reports import cli
from reports.analysis import summary
from reports.formats import formats
from tests import factories

HEAD = [
    *("launch", "comparison", "scenario", "variant", "world_size", "packed", "probe", "rank", "round"),
    *("sample", "position", "inner", "start_s", "seconds", "status"),
]


def rows_of(run):
    return list(csv.DictReader(io.StringIO(formats.export(run, "csv"))))


def order_statistics(values):
    """The widest pair of order statistics whose tails hold no more than 2.5 % each."""
    n, tail, k = len(values), 0.0, 0
    while k < n and tail + math.comb(n, k) / 2**n <= 0.025:
        tail += math.comb(n, k) / 2**n
        k += 1
    return (sorted(values)[k - 1], sorted(values)[n - k]) if k else (None, None)


class Recomputed:
    """Launch values by case, straight from the rows of the CSV."""

    def __init__(self, rows):
        slowest = defaultdict(float)
        self.probes = set()
        self.rounds, starts, self.ranks = {}, defaultdict(list), defaultdict(list)
        for row in rows:
            if row["status"] == "ok":
                case = (
                    row["comparison"],
                    row["scenario"],
                    row["variant"],
                    int(row["world_size"]),
                    row["packed"] == "True",
                )
                self.probes |= {case} if row["probe"] == "True" else set()
                sample = (case, int(row["launch"]), int(row["sample"]))
                slowest[sample] = max(slowest[sample], float(row["seconds"]))
                starts[sample].append(float(row["start_s"]))
                self.ranks[sample].append(float(row["seconds"]))
                self.rounds[sample] = int(row["round"])
        self.samples = defaultdict(lambda: defaultdict(list))
        self.skews = defaultdict(list)
        for (case, launch, sample), seconds in slowest.items():
            parity = self.rounds[case, launch, sample] % 2
            self.samples[case][launch].append((parity, seconds))
            own = starts[case, launch, sample]
            self.skews[case].append(max(own) - min(own))

    def values(self, case):
        return {launch: statistics.median(t for _, t in own) for launch, own in self.samples[case].items()}

    def time(self, case):
        return statistics.median(self.values(case).values())

    def first_rank_values(self, case):
        """As ``values``, but of each sample the first rank's time."""
        firsts = defaultdict(list)
        for (own, launch, _), times in self.ranks.items():
            if own == case:
                firsts[launch].append(times[0])
        return {launch: statistics.median(times) for launch, times in firsts.items()}

    def ratios(self, above, below):
        a, b = self.values(above), self.values(below)
        return [a[launch] / b[launch] for launch in a]

    def aa(self, comparison):
        contrasts = []
        for case, launches in self.samples.items():
            if case[0] == comparison and case not in self.probes:
                logs = []
                for own in launches.values():
                    even, odd = (statistics.median(t for parity, t in own if parity == half) for half in (0, 1))
                    logs.append(math.log(even / odd))
                contrasts.append(abs(statistics.median(logs)))
        contrasts.sort()
        place = 0.95 * (len(contrasts) - 1)
        low = math.floor(place)
        high = min(low + 1, len(contrasts) - 1)
        return contrasts[low] + (place - low) * (contrasts[high] - contrasts[low])


@pytest.fixture(scope="module", params=["strong", "weak", "none"])
def told(request, tmp_path_factory):
    run = factories.build(
        tmp_path_factory.mktemp("run") / request.param,
        scaling=request.param,
        sizes=(512, 1024),
        world_sizes=(1, 2, 4),
        launches=8,
        slow_ranks={1: 1.1},
        device_events=request.param == "weak",
    )
    return summary.summarise(run), Recomputed(rows_of(run))


def case_of(row, *, size=None, packed=False, variant=None):
    return str(row.comparison), row.scenario, variant or row.variant, size or row.world_size, packed


def test_every_cell_of_the_summary_follows_from_the_csv(told):
    found, again = told
    assert len(found.cells) == 12
    for row in found.cells:
        case = case_of(row)
        values = list(again.values(case).values())
        assert row.median_s == pytest.approx(statistics.median(values), rel=1e-12)
        assert (row.ci_low_s, row.ci_high_s) == pytest.approx(order_statistics(values), rel=1e-12)
        assert (row.launches, row.samples) == (8, 8 * 12)
        assert list(row.launch_s.values()) == pytest.approx(values)
        if row.world_size > 1:
            assert row.skew_s == pytest.approx(statistics.median(again.skews[case]))


def test_every_scaling_figure_follows_from_the_csv(told):
    found, again = told
    for row in (row for row in found.cells if row.world_size > 1):
        case, base, p = case_of(row), case_of(row, size=1), row.world_size
        ratio, ends = again.time(base) / again.time(case), order_statistics(again.ratios(base, case))
        factor, share = {"strong": (1, 1 / p), "weak": (p, 1), "none": (1, 1)}[row.scaling]
        expected = [end * factor for end in (ratio, *ends)]
        assert [row.speedup, row.speedup_low, row.speedup_high] == pytest.approx(expected)
        expected = [end * share for end in (ratio, *ends)]
        assert [row.efficiency, row.efficiency_low, row.efficiency_high] == pytest.approx(expected)
        assert row.base_median_s == pytest.approx(again.time(base))
        ideal = {"strong": again.time(base) / p, "weak": again.time(base), "none": None}[row.scaling]
        assert row.ideal_s == (ideal if ideal is None else pytest.approx(ideal))


def test_the_seconds_above_the_ideal_follow_from_the_csv(told):
    found, again = told
    cells = {(row.comparison, row.key): row for row in found.cells}
    for row in found.losses:
        cell = cells[row.comparison, row.key]
        base, case = again.values(case_of(cell, size=1)), again.values(case_of(cell))
        copies, share = again.first_rank_values(case_of(cell, packed=True)), cell.ideal_s / cell.base_median_s
        contention = [(copies[launch] - base[launch]) * share for launch in base]
        assert row.contention.seconds == pytest.approx(statistics.median(contention))
        assert (row.contention.low, row.contention.high) == pytest.approx(order_statistics(contention))
        missing = statistics.median(case.values()) - statistics.median(base.values()) * share
        assert math.fsum(part.seconds for part in row.parts.values()) == pytest.approx(missing)


def test_every_comparison_follows_from_the_csv(told):
    found, again = told
    assert len(found.comparisons) == 6
    for row in found.comparisons:
        variant, base = case_of(row), case_of(row, variant=row.baseline)
        low, high = order_statistics(again.ratios(variant, base))
        noise = math.expm1(again.aa(str(row.comparison)))
        delta = max(0.05, noise)
        assert row.ratio == pytest.approx(again.time(variant) / again.time(base))
        assert (row.ratio_low, row.ratio_high) == pytest.approx((low, high))
        assert (row.aa, row.margin) == pytest.approx((noise, delta))
        assert low > 1 + delta
        assert row.verdict == "slower"


def test_ceilings_and_floors_follow_from_the_csv(told):
    found, again = told
    for row in found.ceilings:
        alone, busy = ((str(row.comparison), row.probe, "", size, size > 1) for size in (1, row.world_size))
        assert row.speedup == pytest.approx(row.world_size * again.time(alone) / again.time(busy))
    for row in found.floors:
        assert row.median_s == pytest.approx(again.time((str(row.comparison), "null", "", row.world_size, False)))
    assert (len(found.ceilings), len(found.floors)) == (8, 6)


def test_a_row_a_sample_and_rank(tmp_path):
    run = factories.build(tmp_path / "run", launches=2)
    rows = rows_of(run)
    assert list(rows[0]) == [*HEAD, "how", "size"]
    assert len(rows) == 2 * 12 * (5 * 1 + 7 * 2)  # launches, samples, ranks of all cases
    first = rows[0]
    assert (first["inner"], first["size"], first["how"], first["status"]) == ("2", "1024", "whole", "ok")
    keys = [tuple(row[name] for name in (*HEAD[:8], "sample")) for row in rows]
    assert len(set(keys)) == len(keys)


def test_seconds_are_one_steps_and_the_devices_where_it_has_them(tmp_path):
    own = {}
    for events in (False, True):
        run = factories.build(tmp_path / f"run{events}", launches=1, device_events=events, noise=0, launch_noise=0)
        own[events] = next(float(row["seconds"]) for row in rows_of(run) if row["variant"] == "whole")
    assert own[True] == pytest.approx(0.1)
    assert own[False] == pytest.approx(0.1)


def test_a_cell_without_samples_has_one_row(tmp_path):
    key = "split[how=pieces,size=1024]@2"
    outcomes = {(0, key): ("wrong", 1, "differs"), (1, key): ("missing", None, "")}
    rows = rows_of(factories.build(tmp_path / "run", outcomes=outcomes))
    own = [row for row in rows if (row["variant"], row["world_size"], row["packed"]) == ("pieces", "2", "False")]
    for launch, status in ((0, "wrong"), (1, "missing")):
        (only,) = [row for row in own if row["launch"] == str(launch)]
        assert only["status"] == status
        assert [only[name] for name in HEAD[7:14]] == [""] * 7


def test_a_parameter_named_like_a_column_is_set_apart(tmp_path):
    rows = rows_of(factories.build(tmp_path / "run", launches=1, params={"rank": 3}))
    assert rows[0]["param_rank"] == "3"
    assert rows[0]["rank"] == "0"


def test_the_last_record_of_a_cell_holds(tmp_path):
    run = factories.build(tmp_path / "run", launches=1)
    told = factories.texts_of(run)
    first = next(text for text in told if '"type":"cell"' in text)
    failed = first.partition('"status":"ok"')[0] + '"status":"error","rank":0,"message":"later"}'
    factories.write_texts(run, [*told, failed])
    row = summary.summarise(run).cells[0]
    assert (row.status, row.message, row.median_s) == ("error", "later", None)


def test_launches_that_were_added_count(tmp_path):
    run = factories.build(tmp_path / "run", launches=3)
    plan = run.plan().model_copy(update={"launches": 1})
    run.plan_path.write_text(plan.to_json())
    found = summary.summarise(run)
    assert found.run.launches_planned == 3
    assert found.cells[0].launches == 3


def test_the_command(tmp_path, capsys):
    run = factories.build(tmp_path / "run", launches=1)
    cli.export(run.root, "csv", None)
    text = capsys.readouterr().out
    assert text == formats.export(run, "csv")
    cli.export(run.root, "csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == text
    with pytest.raises(UsageError, match="did you mean 'csv'"):
        cli.export(run.root, "cvs", None)


def test_every_format_is_text(tmp_path):
    run = factories.build(tmp_path / "run", launches=1)
    assert all(itertools.starmap(formats.export, [(run, form) for form in formats.FORMATS]))
