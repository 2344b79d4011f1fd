"""Sets of instants as spans in order that do not overlap: their union, what two have in common, how long they are."""

import math
from collections.abc import Iterable, Sequence

Span = tuple[float, float]
"""Two instants in order, in seconds."""


def union(spans: Iterable[Span]) -> list[Span]:
    """The same instants as ordered, non-empty spans that do not touch."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if end <= begin:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def common(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """The intersection of two unions."""
    both: list[Span] = []
    left = right = 0
    while left < len(one) and right < len(other):
        begin, end = max(one[left][0], other[right][0]), min(one[left][1], other[right][1])
        if begin < end:
            both.append((begin, end))
        if one[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return both


def length(spans: Iterable[Span]) -> float:
    """Seconds of a union."""
    return math.fsum(end - begin for begin, end in spans)
