"""How pages are made of templates: escaped, self-contained, with one style sheet and one script of their own.

The content-security policy of a page allows this style and this very script, by its hash, and nothing else: whatever a
plugin or a file might bring would neither run nor be fetched.
"""

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.figures.section import short
from reports.schema.summary import ExerciseRow
from reports.statistics.verdicts import band_in_words
from reports.text import extremes, labels, units
from reports.text.labels import variant_of

FOLDER = "templates"


@cache
def environment() -> Environment:
    """Templates with what all of them use."""
    jinja = Environment(
        loader=PackageLoader("reports.page", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals.update(u=units, short=short, variant_of=variant_of, variant=labels.variant, band_words=band_in_words)
    jinja.globals.update(extremes=extremes.extremes, ends=extremes.ends, hosts=extremes.hosts)
    jinja.globals.update(style=Markup(_text("page.css")), script=Markup(_text("sort.js")))  # noqa: S704 - our own files
    jinja.globals.update(script_hash=base64.b64encode(hashlib.sha256(_text("sort.js").encode()).digest()).decode())
    jinja.filters.update(names=names_marked, answer=answer_marked, percent=units.percent)
    return jinja


def _text(name: str) -> str:
    return resources.files("reports.page").joinpath(FOLDER, name).read_text(encoding="utf-8").strip()


def names_marked(text: str) -> Markup:
    """A sentence with its names in backticks as <code>; everything escaped."""
    parts = (
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def answer_marked(row: ExerciseRow) -> Markup:
    """An answer with its figures set off, their intervals quieter, and what is missing in red; everything escaped."""
    parts, code = [], False
    for text, quote in row.pieces:
        if quote is None:
            for place, part in enumerate(text.split("`")):
                code ^= place > 0
                parts.append(Markup("<code>{}</code>").format(part) if code and part else escape(part))
        elif not quote.known:
            parts.append(Markup('<b class="bad">{}</b>').format(text))
        else:
            figure, _, grounds = text.partition(" (")
            parts.append(Markup("<b>{}</b>").format(figure))
            parts += [Markup(' <span class="interval">({}</span>').format(grounds)] if grounds else []
    return Markup("").join(parts)
