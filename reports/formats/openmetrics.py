"""A run as OpenMetrics text, as Prometheus scrapes it and GitLab's metrics reports read it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.journal.measurement_warnings import Kind
from harness.journal.run_directory import RunDir
from reports.analysis.summary import summarise
from reports.schema.cases import CellRow
from reports.schema.summary import Summary
from reports.text import labels

Pairs = dict[str, str]


@dataclass(frozen=True)
class Family:
    """A metric: its name ends in its unit, where it has one."""

    name: str
    unit: str
    help: str
    value: Callable[[CellRow], float | None]
    """Of a case; None where it has none."""


def _shown(name: str) -> Callable[[CellRow], float | None]:
    """A figure that is told only of a time above the floor."""

    def value(row: CellRow) -> float | None:
        number: float | None = None if row.below_resolution else getattr(row, name)
        return number

    return value


def _scaled(name: str) -> Callable[[CellRow], float | None]:
    """A figure of scaling, which only cases that claim to scale have."""
    shown = _shown(name)
    return lambda row: None if row.scaling == "none" else shown(row)


FAMILIES = (
    Family("rankbench_step_seconds", "seconds", "Time of one step: median over launches.", _shown("median_s")),
    Family("rankbench_step_low_seconds", "seconds", "Lower end of its 95 % interval.", _shown("ci_low_s")),
    Family("rankbench_step_high_seconds", "seconds", "Upper end of its 95 % interval.", _shown("ci_high_s")),
    Family("rankbench_speedup_ratio", "ratio", "Times as fast as on the fewest devices.", _scaled("speedup")),
    Family("rankbench_efficiency_ratio", "ratio", "Efficiency of scaling.", _scaled("efficiency")),
    Family("rankbench_launches", "", "Launches that the time rests on.", lambda row: row.launches),
    Family("rankbench_case_ok", "", "1 where every launch was ok, else 0.", lambda row: float(row.status == "ok")),
)
"""What is told of each case."""


def openmetrics(run: RunDir) -> str:
    """The text, with one series a case in each family, and one for each state that a planned cell may end in."""
    summary = summarise(run)
    return "".join(f"{line}\n" for line in (*_run(summary), *_cells(summary), *_cases(summary), "# EOF"))


def _run(summary: Summary) -> Iterator[str]:
    run = summary.run
    labels = {
        "version": run.version,
        "launcher": run.launcher,
        "device": ", ".join(dict.fromkeys(run.device_names)),
        "devices": str(len(run.devices)),
        "fingerprint": run.fingerprint or "",
        "started": run.started or "",
        **_shared(run.shared_device),
        **_emulated(summary),
    }
    yield from _head("rankbench_run", "info", "", "The run that all of this is of.")
    yield _sample("rankbench_run_info", labels, 1)


def _cells(summary: Summary) -> Iterator[str]:
    yield from _head("rankbench_cells", "gauge", "", "Planned cells, by what became of them.")
    for state, count in summary.counts.items():
        if state != "planned":
            yield _sample("rankbench_cells", {"state": state}, count)


def _cases(summary: Summary) -> Iterator[str]:
    for family in FAMILIES:
        values = [(row, family.value(row)) for row in summary.cells]
        known = [(row, value) for row, value in values if value is not None]
        if known:
            yield from _head(family.name, "gauge", family.unit, family.help)
            yield from (_sample(family.name, _labels(row) | _emulated(summary), value) for row, value in known)


def _labels(row: CellRow) -> Pairs:
    return {
        "case": row.key,
        "scenario": row.scenario,
        "variant": row.variant or "",
        "world_size": str(row.world_size),
        "side": row.side,
        "ranks_per_host": "+".join(map(str, row.ranks_per_host)),
        **_shared(any(warning.kind is Kind.SHARED_DEVICE for warning in row.warnings)),
    }


def _shared(shared: bool) -> Pairs:  # noqa: FBT001 - a mark, or none
    return {"shared_device": "true"} if shared else {}


def _emulated(summary: Summary) -> Pairs:
    return {"emulated": "true"} if summary.run.emulated is not None else {}


def _head(name: str, kind: str, unit: str, text: str) -> Sequence[str]:
    lines = [f"# TYPE {name} {kind}", f"# HELP {name} {text}"]
    return [*lines, f"# UNIT {name} {unit}"] if unit else lines


def _sample(name: str, pairs: Pairs, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in pairs.items())
    return f"{name}{{{inside}}} {value!r}"


def _escaped(text: str) -> str:
    """A label's value: printable, with backslashes and quotes escaped."""
    return labels.printable(text).replace("\\", "\\\\").replace('"', '\\"')
