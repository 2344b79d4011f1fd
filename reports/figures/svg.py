"""Figures without global state: matplotlib draws in stand-in colours, and the page's style sheet fills them in.

Every figure becomes one SVG for a page that may be light, dark or printed: its text is text in the page's
font, its colours are the page's variables, and its ids cannot collide with another figure's.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.text.labels import printable

INK = "#101112"
QUIET = "#707172"
RULE = "#d0d1d2"
WASH = "#f0f1f2"
BAD = "#b1201f"
HUES = tuple(sns.color_palette("colorblind").as_hex()[place] for place in (0, 3, 2, 4))
"""For colour-blind readers too; a fifth variant repeats the first hue, with another marker and dash."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))

VARIABLES = {INK: "ink", QUIET: "quiet", RULE: "rule", WASH: "wash", BAD: "bad"} | {
    hue: f"hue{i}" for i, hue in enumerate(HUES)
}
"""Stand-in colour to the page's CSS variable."""

WIDTH = 380.0
"""Of a figure in CSS pixels, which are matplotlib's points here."""

STYLE = {
    "font.size": 11.0,
    "axes.labelsize": 11.0,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "rankbench",
    "axes.unicode_minus": True,
    "figure.dpi": 72.0,
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib with our style and without the user's own; what was there before comes back."""
    with mpl.rc_context(dict[Any, Any](mpl.rcParamsDefault) | STYLE):
        yield


def blank(height: float, *, left: float, right: float, top: float = 8.0) -> tuple[Figure, Axes]:
    """A figure with margins in pixels, and its axes."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    axes = figure.subplots()
    figure.subplots_adjust(left=left / WIDTH, right=1 - right / WIDTH, bottom=40 / height, top=1 - top / height)
    return figure, axes


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name at its right end (its height, name and colour), as near to it as its neighbours let it."""
    step = 13.5 / axes.bbox.height
    edge = axes.get_xlim()[1]
    places = axes.transAxes.inverted().transform(axes.transData.transform([(edge, end) for end, _, _ in ends]))
    heights = places[:, 1].tolist()
    at, placed = 1 + step, []
    for height, (_, text, colour) in sorted(zip(heights, ends, strict=True), key=lambda pair: -pair[0]):
        at = min(height, at - step)
        placed.append((at, text, colour))
    lift = max(0.0, step / 2 - min(height for height, _, _ in placed))
    for height, text, colour in placed:
        axes.text(1.02, height + lift, text, transform=axes.transAxes, color=colour, va="center", fontsize=10.5)


def joined(  # noqa: PLR0913, PLR0917 - the look of a curve
    axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, dash: Any, marker: str, *, size: float
) -> None:
    """A curve through points that were measured, with a marker at each; seaborn is to estimate nothing."""
    sns.lineplot(x=x, y=y, errorbar=None, estimator=None, linestyle=dash, color=colour, ax=axes)
    sns.scatterplot(x=x, y=y, marker=marker, s=size**2, linewidth=0, zorder=4, color=colour, ax=axes)


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an SVG element for a page; ``name`` keeps its ids apart, ``label`` says what it shows."""
    for artist in figure.findobj():
        artist.set_clip_on(False)
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    _make_printable(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[a-z][^>]*>", lambda tag: _for_page(tag[0], name), text)
    box = f"0 0 {WIDTH:g} {figure.get_figheight() * 72:g}"
    head = f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox="{box}"'
    return (head + text[text.index(">") :]).strip()


def _make_printable(figure: Figure) -> None:
    """Put a sign for each character of its texts that cannot be printed: XML has no place for some of them."""
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_text("\n".join(map(printable, text.get_text().split("\n"))))


def _for_page(tag: str, name: str) -> str:
    """A tag with the page's colours and font, ids of the figure's own, and coordinates to a hundredth of a pixel."""
    for colour, variable in VARIABLES.items():
        tag = tag.replace(colour, f"var(--{variable})")
    tag = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r"font: (?:(\d+|bold) )?([\d.]+px) [^;\"]*", _font, tag)
    return re.sub(r"-?\d+\.\d{3,}(?:e-?\d+)?", lambda number: f"{float(number[0]):.2f}", tag)


def _font(match: re.Match[str]) -> str:
    return f"font-weight: {match[1] or 'normal'}; font-size: {match[2]}"
