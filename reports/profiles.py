"""Profiles: where each case's profiler traces are, or why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reports import labels, units
from reports.document import Claim
from reports.evidence import Evidence
from reports.profile_rows import ProfileRow


def profile_rows(evidence: Evidence) -> tuple[ProfileRow, ...]:
    """Of each case that was to be traced, in planned order."""
    keys = [key for key, _, _ in evidence.cases() if key in evidence.profiles]
    return tuple(
        ProfileRow(
            comparison=key[0],
            key=key[1],
            files=told.files,
            bytes=told.bytes,
            steps=told.steps,
            message=None if told.files else _first_line(told.message),
        )
        for key in keys
        for told in (evidence.profiles[key],)
    )


def _first_line(message: str | None) -> str:
    """CUDA's own errors go on for several lines; the journal has them all."""
    return labels.plain(next(iter((message or "").strip().splitlines()), "no reason was given"))


def profile_claims(rows: Iterable[ProfileRow]) -> Iterator[Claim]:
    """A warning where traces are missing."""
    rows = list(rows)
    missing = [row for row in rows if row.message]
    if missing:
        first = missing[0]
        who = f"{len(missing)} of {units.count(len(rows), 'case')} {'has' if len(missing) == 1 else 'have'} no profile"
        text = f"{who}, e.g. `{labels.plain(first.key)}`: {first.message}."
        yield Claim(kind="caveat", text=text)
