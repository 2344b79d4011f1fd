"""Names of cases as people say them: the scenario, its variant, and only those parameters that vary in this run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from harness.journal.plan import Value

FEW = 4
"""Comparisons that are told one by one; where there are more, they are folded, and answers stand before them."""
UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
"""Stands for what a terminal would obey, and XML forbids."""


class Named(Protocol):
    """What a row must tell to be given a name."""

    @property
    def scenario(self) -> str:
        """The scenario's name."""

    @property
    def params(self) -> dict[str, Value]:
        """Its parameters but for the variant."""


class Armed(Named, Protocol):
    """A row that also has a variant, or none."""

    @property
    def variant_field(self) -> str | None:
        """The parameter that is the variant."""

    @property
    def variant(self) -> str | None:
        """The variant's value."""


@dataclass(frozen=True)
class Labels:
    """Which parameters tell a scenario's comparisons apart."""

    varying: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, rows: Iterable[Named]) -> Self:
        """Find the parameters of each scenario that have more than one value."""
        seen: dict[str, dict[str, set[Value]]] = {}
        for row in rows:
            fields = seen.setdefault(row.scenario, {})
            for name, value in row.params.items():
                fields.setdefault(name, set()).add(value)
        varied = {
            scenario: tuple(name for name, values in sorted(fields.items()) if len(values) > 1)
            for scenario, fields in seen.items()
        }
        return cls(varied)

    def comparison(self, row: Named) -> str:
        """E.g. ``split size=1024``, or ``split`` where no size but one was measured."""
        values = (f"{name}={row.params[name]}" for name in self.varying.get(row.scenario, ()) if name in row.params)
        return plain(" ".join([row.scenario, *values]))

    def case(self, row: Armed) -> str:
        """E.g. ``split how=whole size=1024``."""
        scenario, _, params = self.comparison(row).partition(" ")
        return " ".join(part for part in (scenario, variant(row), params) if part)


Row = TypeVar("Row", bound=Armed)


def by_variant(rows: Sequence[Row]) -> tuple[Row, ...]:
    """A comparison's rows, each variant's together and in planned order."""
    order = list(dict.fromkeys(row.variant for row in rows))
    return tuple(sorted(rows, key=lambda row: order.index(row.variant)))


def variant(row: Armed) -> str:
    """E.g. ``how=whole``; empty where there is no variant."""
    return plain(f"{row.variant_field}={row.variant}") if row.variant_field and row.variant is not None else ""


LONGEST = 22
"""Letters of a variant's name that are shown in a plot."""


def cut(text: str, longest: int) -> str:
    """At most so many letters, of which the last is an ellipsis where some are left out."""
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def shortened(text: str, longest: int) -> str:
    """A name of at most so many letters, with an ellipsis in the middle: names often differ at the end."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - end :]}"


def variant_of(row: Armed) -> str:
    """The variant's value in a plot, or the scenario where it has none."""
    return shortened(row.variant if row.variant is not None else row.scenario, LONGEST)


def told_apart(names: Sequence[str]) -> Iterator[str]:
    """Names of comparisons; behind one of the same scenario only what is different: ``split size=512``, ``1024``."""
    before = ""
    for name in names:
        scenario, _, values = name.partition(" ")
        if scenario == before and values:
            yield values.partition("=")[2] if values.count("=") == 1 else values
        else:
            yield name
        before = scenario


def plain(text: str) -> str:
    """Text of a plugin on one line, without control characters and the backticks that mark names in claims."""
    return " ".join(printable(text.replace("`", "'")).split())


def printable(text: str) -> str:
    """Text with a blank for each line break and the like, and a sign for each character that is none."""
    if text.isprintable():  # nearly always: then its only blanks are such
        return text
    shown = (
        " " if character.isspace() else character if character.isprintable() else UNPRINTABLE for character in text
    )
    return "".join(shown)
