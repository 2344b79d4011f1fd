"""The page of several runs, beside the newest one's own: history.html, and history.json with all its numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.journal.run_directory import write_whole
from reports.compare.history import Told, history
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
        told = [
            f"`{labels.plain(each.variant or each.scenario)}` {units.change(each.change, None, None)}"
            for each in self.series
            if each.change is not None
        ]
        return (
            f"The last run over the one before it: {units.listed(told)}." if told else "The last run has no time here."
        )


def write(told: Sequence[Told]) -> Path:
    """Write both files into the newest run's directory; return the page's path."""
    found, root = history(told), told[-1].run.root
    write_whole(root / "history.json", found.to_json())
    page = root / "history.html"
    write_whole(page, render(found))
    return page


def render(found: History) -> str:
    """The page as text; it depends on history.json alone."""
    template = environment().get_template("history.html.j2")
    return template.render(h=found, panels=list(panels(found)), words=WORDS, title=_title(found), many=False)


def panels(found: History) -> Iterator[Panel]:
    """In the order of the series; each comparison's numbers of devices together."""
    names = Labels.of(found.series)
    own: dict[tuple[str, int], list[HistorySeries]] = {}
    for each in found.series:
        own.setdefault((names.comparison(each), each.world_size), []).append(each)
    for place, ((name, size), series) in enumerate(own.items()):
        drawn = Markup(history_plot(series, len(found.runs), f"h{place}"))  # noqa: S704 - our own SVG, its text escaped
        yield Panel(f"{name} on {units.count(size, 'device')}", tuple(series), drawn)


def _title(found: History) -> str:
    names = units.listed(list(dict.fromkeys(each.scenario for each in found.series))[:4]) or "Runs"
    return f"{names} in {units.count(len(found.runs), 'run')}"
