"""A run as JUnit XML, which nearly every CI shows: a suite a comparison, a test case a planned case.

A case that is wrong has failed; one that raised, died, hung, ran out of memory, or was never recorded is an error.
The time of a test case is that of one step, in seconds, and there is none where the case has none to show.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from xml.etree import ElementTree as ET

from harness.journal.run_directory import RunDir
from reports.analysis.summary import summarise
from reports.reading.run import State
from reports.schema.cases import CellRow
from reports.schema.summary import ComparisonFacts, Summary
from reports.text import labels, units
from reports.wording.outcomes import Fate, outcomes

OUTCOMES: dict[State, str] = {"wrong": "failure", "skipped": "skipped", "unchecked": "", "ok": ""}
"""The element that tells of a state; of any other it is an error."""


def junit(run: RunDir) -> str:
    """The document; no character that XML forbids is in it, whatever the run's texts hold."""
    summary = summarise(run)
    root = ET.Element("testsuites", name="rankbench")
    fates = outcomes(summary)
    for about in summary.about:
        root.append(_suite(summary, about, [outcome for outcome in fates if outcome.comparison == about.comparison]))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, 0)) for suite in root)))
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _suite(summary: Summary, about: ComparisonFacts, fates: list[Fate]) -> ET.Element:
    rows = {row.key: row for row in summary.first if row.comparison == about.comparison}
    counted = Counter(OUTCOMES.get(outcome.status, "error") for outcome in fates)
    suite = ET.Element("testsuite", name=_name(about), tests=str(len(fates)))
    for name, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(counted[element]))
    if summary.run.started:
        suite.set("timestamp", labels.plain(summary.run.started)[:19])
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(summary):
        ET.SubElement(properties, "property", name=name, value=labels.plain(value))
    suite.extend([_case(outcome, about, rows.get(outcome.key)) for outcome in fates])
    return suite


def _name(about: ComparisonFacts) -> str:
    inside = ",".join(f"{name}={value}" for name, value in sorted(about.params.items()))
    return labels.plain(f"{about.scenario}[{inside}]" if inside else about.scenario)


def _properties(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "command", summary.run.command
    yield "version", summary.run.version
    yield "devices", ", ".join(summary.run.devices)
    yield "device names", ", ".join(summary.run.device_names)
    if summary.run.emulated is not None:
        yield "emulated", summary.run.emulated
    yield "environment", summary.run.fingerprint or "not told"


def _case(outcome: Fate, about: ComparisonFacts, row: CellRow | None) -> ET.Element:
    case = ET.Element("testcase", name=labels.plain(outcome.key), classname=_name(about))
    shown = row is not None and row.timed
    if row is not None and row.median_s is not None and shown:
        case.set("time", f"{Decimal(repr(row.median_s)):f}")
    element = OUTCOMES.get(outcome.status, "error")
    if element:
        problem = ET.SubElement(case, element, message=outcome.words)
        if element != "skipped":
            problem.set("type", outcome.status)
    elif row is not None and shown:
        ET.SubElement(case, "system-out").text = _figures(row)
    return case


def _figures(row: CellRow) -> str:
    lines = [f"{units.timed(row.median_s, row.ci_low_s, row.ci_high_s)} a step"]
    if row.speedup is not None and row.scaling != "none":
        lines.append(f"speed-up {units.times_between(row.speedup, row.speedup_low, row.speedup_high)}")
    lines += [f"{caution.kind}: {labels.plain(caution.fact)}" for caution in row.warnings]
    return "; ".join(lines)
