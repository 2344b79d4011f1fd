"""The twelve rules of Hoefler and Belli, "Scientific Benchmarking of Parallel Computing Systems" (SC15), one by one.

A rule is failed where the run's own data fail it, however well it was meant: a missing reason, an interval that too few
launches allow, a line through counts that nobody measured.
"""

from __future__ import annotations

from collections.abc import Callable

from reports.audit import figures, setting
from reports.audit.examined import Examined, Found
from reports.why_rows import AuditRow

RULES: tuple[tuple[str, Callable[[Examined], Found]], ...] = (
    ("Say what a speed-up is over, and how long that takes.", figures.base_case),
    ("Give a reason for whatever is left out.", setting.left_out),
    ("Summarise rates by total work over total time.", figures.rates),
    ("Summarise times, not ratios of them.", figures.ratios),
    ("Give intervals for what is not deterministic.", figures.intervals),
    ("Do not take data for normal unchecked.", figures.normality),
    ("Compare by sound statistics.", figures.comparisons),
    ("See whether the median is what matters.", figures.tails),
    ("Document all factors and the whole setting.", setting.documented),
    ("Say how times of several ranks are taken, aligned and summarised.", setting.parallel),
    ("Show upper bounds.", setting.bounds),
    ("Show all that is needed, and join points only where one may read between them.", setting.lines),
)
"""Each in short, and what judges it; in the paper's order."""


def audit_rows(examined: Examined) -> tuple[AuditRow, ...]:
    """The rules from 1 to 12."""
    judged = [(title, judge(examined)) for title, judge in RULES]
    return tuple(
        AuditRow(rule=place, title=title, verdict=found.verdict, evidence=found.evidence)
        for place, (title, found) in enumerate(judged, start=1)
    )
