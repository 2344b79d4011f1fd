"""The page of several runs, beside the newest one's own: history.html, and history.json with all its numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.journal.run_directory import write_whole
from reports.compare.history import PastRun, history
from reports.figures.history import history_plot
from reports.page.markup import environment
from reports.schema.history import History, HistorySeries
from reports.text import labels, units
from reports.text.labels import Labels

WORDS = {"slower": "above", "faster": "below", "together": "within reach", "unknown": units.NONE}
"""Of an interval, beside that of the run before."""


@dataclass(frozen=True)
class Panel:
    """One comparison on one number of devices."""

    name: str
    series: tuple[HistorySeries, ...]
    svg: Markup

    @property
    def sentence(self) -> str:
        """What the last run's times are beside those before it."""
        parts = [
            f"`{labels.plain(series.variant or series.scenario)}` {units.change(series.change, None, None)}"
            for series in self.series
            if series.change is not None
        ]
        return (
            f"The last run over the one before it: {units.listed(parts)}."
            if parts
            else "The last run has no time here."
        )


def write(entries: Sequence[PastRun]) -> Path:
    """Write both files into the newest run's directory; return the page's path."""
    content, root = history(entries), entries[-1].run.root
    write_whole(root / "history.json", content.to_json())
    page = root / "history.html"
    write_whole(page, render(content))
    return page


def render(content: History) -> str:
    """The page as text; it depends on history.json alone."""
    template = environment().get_template("history.html.j2")
    return template.render(h=content, panels=list(panels(content)), words=WORDS, title=_title(content), many=False)


def panels(content: History) -> Iterator[Panel]:
    """In the order of the series; each comparison's numbers of devices together."""
    names = Labels.of(content.series)
    by_size: dict[tuple[str, int], list[HistorySeries]] = {}
    for line in content.series:
        by_size.setdefault((names.comparison(line), line.world_size), []).append(line)
    for place, ((name, size), series) in enumerate(by_size.items()):
        drawn = Markup(history_plot(series, len(content.runs), f"h{place}"))  # noqa: S704 - our own SVG, its text escaped
        yield Panel(f"{name} on {units.count(size, 'device')}", tuple(series), drawn)


def _title(content: History) -> str:
    names = units.listed(list(dict.fromkeys(series.scenario for series in content.series))[:4]) or "Runs"
    return f"{names} in {units.count(len(content.runs), 'run')}"
