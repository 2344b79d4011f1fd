"""Figures without global state: matplotlib draws in stand-in colours, and the page's style sheet fills them in.

Every figure becomes one SVG for a page that may be light, dark or printed: its text is text in the page's
font, its colours are the page's variables, and its ids cannot collide with another figure's.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter

from reports.text.labels import printable

INK = "#101112"
QUIET = "#707172"
RULE = "#d0d1d2"
WASH = "#f0f1f2"
BAD = "#b1201f"
HUES = ("#0173b2", "#d55e00", "#029e73", "#cc78bc")
"""Of seaborn's colorblind palette; a fifth variant repeats the first hue, with another marker and dash."""

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


def blank(
    height: float, *, left: float, right: float, top: float = 8.0, panels: int = 1
) -> tuple[Figure, Sequence[Axes]]:
    """A figure of stacked panels that share their axes, with margins in pixels."""
    bottom = 40.0
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    axes = figure.subplots(panels, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=left / WIDTH, right=1 - right / WIDTH, bottom=bottom / height, top=1 - top / height, hspace=0.25
    )
    return figure, list(axes)


def name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name at its right end (its height, name and colour), as near to it as its neighbours let it."""
    step = 13.5 / axes.bbox.height
    heights = [float(axes.transAxes.inverted().transform(axes.transData.transform((0, end)))[1]) for end, _, _ in ends]
    at, placed = 1 + step, []
    for height, (_, text, colour) in sorted(zip(heights, ends, strict=True), key=lambda each: -each[0]):
        at = min(height, at - step)
        placed.append((at, text, colour))
    lift = max(0.0, step / 2 - min(height for height, _, _ in placed))
    for height, text, colour in placed:
        axes.text(1.02, height + lift, text, transform=axes.transAxes, color=colour, va="center", fontsize=10.5)


def joined(  # noqa: PLR0913, PLR0917 - the look of a curve
    axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, dash: Any, marker: str, *, s: float
) -> None:
    """A curve through points that were measured, by seaborn, which is given medians and estimates nothing."""
    points = pd.DataFrame({"x": list(x), "y": list(y)})
    look: dict[str, Any] = {"color": colour, "ax": axes}
    sns.lineplot(points, x="x", y="y", errorbar=None, estimator=None, linestyle=dash, **look)
    sns.scatterplot(points, x="x", y="y", marker=marker, s=s, linewidth=0, zorder=4, **look)
    axes.set(xlabel="", ylabel="")


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an SVG element for a page; ``name`` keeps its ids apart, ``label`` says what it shows."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    _tame(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[a-z][^>]*>", lambda tag: _coloured(tag[0]), text)
    text = _lean(_named(text, name))
    box = f"0 0 {WIDTH:g} {figure.get_figheight() * 72:g}"
    head = f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox="{box}"'
    return (head + text[text.index(">") :]).strip()


def _tame(figure: Figure) -> None:
    """Put a sign for each character of its texts that cannot be printed: XML has no place for some of them."""
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_text(_lines_printable(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = axis.get_major_formatter()
            if isinstance(ticks, FixedFormatter):
                axis.set_major_formatter(FixedFormatter([_lines_printable(text) for text in ticks.seq]))


def _lines_printable(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _coloured(text: str) -> str:
    """A tag with the page's colours, the page's font, and one decimal in its coordinates."""
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: _rounded(found[0]), text)
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    return re.sub(r"font: (\d+|bold) ([\d.]+)px [^;\"]*", r"font-weight: \1; font-size: \2px", text)


def _rounded(text: str) -> str:
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), text)
    return re.sub(r"\s*([MLCQZzHV])\s*", r"\1", text) if text.startswith(" d=") else text


def _lean(text: str) -> str:
    """Without clipping (the axes hold all that is drawn), with one style for a run of markers, and no idle groups.

    Open lines of one style that follow one another become one path.
    """
    text = re.sub(r"<clipPath.*?</clipPath>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*</defs>|<g/>", "", text)
    text = re.sub(r' clip-path="[^"]*"', "", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    for _ in range(2):
        text = re.sub(r"<g>\n(<(?:use|path) [^>]*/>|<text [^>]*>[^<]*</text>)\n</g>", r"\1", text)
    run = r'(<use [^>]*?) style="([^"]*)"/>\n((?:<use [^>]*? style="\2"/>\n)+)'
    text = re.sub(run, lambda found: f'<g style="{found[2]}">{found[1]}/>{_bare(found[3])}</g>\n', text)
    run = r'<path d="([^"]*)" style="(fill: none;[^"]*)"/>\n((?:<path d="[^"]*" style="\2"/>\n)+)'
    return re.sub(run, lambda found: f'<path d="{found[1]}{_lines(found[3])}" style="{found[2]}"/>\n', text)


def _bare(uses: str) -> str:
    return re.sub(r' style="[^"]*"/>\n', "/>", uses)


def _lines(paths: str) -> str:
    return "".join(re.findall(r' d="([^"]*)"', paths))


def _named(text: str, name: str) -> str:
    """Short ids with this figure's prefix for what something refers to, and none for the rest."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    short = {old: f"{name}-{place}" for place, old in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", text)
    text = text.replace("xlink:href", "href")
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + short[found[2]], text)


def shared(page: str) -> tuple[str, str]:
    """A page with a class in place of each style that its figures have more than once, and these classes' rules."""
    figures = re.split(r'(<svg class="plot".*?</svg>)', page, flags=re.DOTALL)
    styles = Counter(style for figure in figures[1::2] for style in re.findall(r' style="([^"]*)"', figure))
    names = {style: f"p{place}" for place, style in enumerate(style for style, uses in styles.items() if uses > 1)}

    def named(found: re.Match[str]) -> str:
        return f' class="{names[found[1]]}"' if found[1] in names else found[0]

    figures[1::2] = [re.sub(r' style="([^"]*)"', named, figure) for figure in figures[1::2]]
    return "".join(figures), "\n".join(f".{name} {{ {style} }}" for style, name in names.items())
