"""Watts: what a GPU draws while it works on each of several cases that are visited in turn.

A GPU's counter of energy moves on every 20 to 100 ms, as long as a visit, and tells of a time that is past by then.
So no visit's energy can be read off. But what the counter rises by is the sum of what each case draws times the time
that it ran meanwhile, and over a launch of many visits in random order these are solved for, by least squares. How far
the counter is behind, and over what time it averages, is found with them: the pair that leaves the least residual.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Spans = Sequence[tuple[float, float]]

STEP_S = 0.010
"""Lags are tried so far apart."""
LAGS = 25
"""Number of candidate lags, starting at none."""
WIDTHS = (1, 2, 3, 5, 10, 20, 30)
"""Over how many steps the counter averages."""
ROOM = 2
"""The counter must rise at least this many times as often as there are cases."""
UNEXPLAINED = 0.05
"""If the rises differ from the fit by more than this fraction of a mean rise, no power is reported."""
UNSURE = 0.05
"""A power with a larger relative standard error is not reported."""


@dataclass(frozen=True)
class _Fit:
    residual: float
    """Sum of squares."""
    watts: Array
    errors: Array
    """Standard errors."""


def watts(cases: Sequence[Spans], at_s: Array, joules: Array) -> list[float | None]:
    """Mean power during each case's spans, in watts; None where that cannot be told.

    ``at_s`` and ``joules`` are when the counter of energy moved on, and to what; ``cases`` are each case's spans of
    time, in order, on the same clock, and no two overlap.
    """
    rises = np.diff(joules)
    unknown: list[float | None] = [None] * len(cases)
    if len(rises) < ROOM * (len(cases) + 1):
        return unknown
    fit = min(_fits(cases, at_s, rises), key=lambda fit: fit.residual)
    if (fit.residual / len(rises)) ** 0.5 > UNEXPLAINED * float(rises.mean()):
        return unknown
    sure = fit.errors < UNSURE * fit.watts
    return [float(mean) if known else None for mean, known in zip(fit.watts, sure, strict=True)][: len(cases)]


def _fits(cases: Sequence[Spans], at_s: Array, rises: Array) -> Iterator[_Fit]:
    """Per lag and width: how long each case ran between the instants at which the counter rose."""
    lagged = [_busy(cases, at_s - lag * STEP_S) for lag in range(LAGS + max(WIDTHS))]
    for width in WIDTHS:
        total = sum(lagged[1:width], lagged[0])
        for lag in range(LAGS):
            if lag:
                total = total + lagged[lag + width - 1] - lagged[lag - 1]
            yield _fit(total / width, rises)


def _busy(cases: Sequence[Spans], at_s: Array) -> Array:
    """Seconds that each case ran between neighbouring instants, and last those of none: shape [rises, cases + 1]."""
    columns = [np.diff(_before(spans, at_s)) for spans in cases]
    return np.column_stack([*columns, np.diff(at_s) - np.sum(columns, axis=0)])


def _before(spans: Spans, at_s: Array) -> Array:
    """Seconds of the spans that lie before each instant."""
    edges = np.array(spans, dtype=float).reshape(-1, 2)
    if not len(edges):
        return np.zeros_like(at_s)
    done = np.cumsum(edges[:, 1] - edges[:, 0])
    seconds: Array = np.interp(at_s, edges.ravel(), np.column_stack([np.r_[0.0, done[:-1]], done]).ravel())
    return seconds


def _fit(busy: Array, rises: Array) -> _Fit:
    solution, *_ = np.linalg.lstsq(busy, rises, rcond=None)
    residual = float(np.sum((rises - busy @ solution) ** 2))
    variance = residual / max(1, len(rises) - busy.shape[1])
    errors: Array = np.sqrt(np.diag(np.linalg.pinv(busy.T @ busy)) * variance)
    return _Fit(residual, np.asarray(solution, float), errors)
