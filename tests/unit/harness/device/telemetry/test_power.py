"""Watts of cases that take turns, from a counter of energy that moves seldom, late, and by what it averages over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from harness.device.telemetry.power import watts

TICK_S = 5e-4


@dataclass(frozen=True)
class Board:
    """A GPU whose truth is known: the powers of its cases, and of none; and how its counter behaves."""

    powers: tuple[float, ...]
    idle: float = 120.0
    refresh_s: float = 0.1
    lag_s: float = 0.05
    averaged_s: float = 0.0
    poll_s: float = 0.02
    visit_s: float = 0.08
    total_s: float = 6.0


def estimated(board: Board, seed: int) -> list[float | None]:
    random = np.random.default_rng(seed)
    spans: list[list[tuple[float, float]]] = [[] for _ in board.powers]
    now_s = 0.5
    while now_s < board.total_s:
        for case in random.permutation(len(board.powers)):
            spans[case].append((now_s + 0.004, now_s + 0.004 + board.visit_s))
            now_s += 0.004 + board.visit_s
    drawn = np.full(int((now_s + 1) / TICK_S), board.idle)
    for case, each in enumerate(spans):
        for start_s, end_s in each:
            drawn[round(start_s / TICK_S) : round(end_s / TICK_S)] = board.powers[case]
    if board.averaged_s:
        width = int(board.averaged_s / TICK_S)
        drawn = np.convolve(drawn, np.ones(width) / width)[: len(drawn)]
    joules = np.cumsum(drawn) * TICK_S
    updates_s = np.arange(random.uniform(0, board.refresh_s), now_s + 1, board.refresh_s)
    polls_s = np.arange(0.6, now_s + 0.5, board.poll_s) + random.uniform(0, 0.002)
    seen_s = updates_s[np.searchsorted(updates_s, polls_s, side="right") - 1] - board.lag_s
    counter = np.floor(1000 * joules[(seen_s / TICK_S).astype(int)]) / 1000
    moved = np.flatnonzero(np.diff(counter) > 0) + 1
    return watts(spans, (polls_s[moved] + polls_s[moved - 1]) / 2, counter[moved])


POWERS = (690.0, 150.0, 300.0, 420.0, 205.0, 610.0, 350.0, 500.0)


@pytest.mark.parametrize(
    "board",
    [
        Board(POWERS),
        Board(POWERS, lag_s=0.0),
        Board(POWERS, refresh_s=0.02, lag_s=0.02, poll_s=0.01),
        Board(POWERS, averaged_s=0.1),
        Board((700.0, 80.0)),
        Board((300.0,) * 6),
        Board((*POWERS, *POWERS), total_s=10.0),
    ],
)
def test_what_is_told_is_true_within_a_few_percent(board: Board) -> None:
    told, errors = 0, []
    for seed in range(6):
        found = estimated(board, seed)
        pairs = [(its, true) for its, true in zip(found, board.powers, strict=True) if its is not None]
        told += len(pairs)
        errors += [abs(its / true - 1) for its, true in pairs]
    assert told >= 0.6 * 6 * len(board.powers)
    assert np.median(errors) < 0.02
    assert np.quantile(errors, 0.95) < 0.08


@pytest.mark.parametrize(
    "board", [Board(POWERS, averaged_s=1.0), Board(POWERS, refresh_s=0.6), Board(POWERS, total_s=1.0)]
)
def test_what_cannot_be_told_is_not(board: Board) -> None:
    assert all(estimated(board, seed) == [None] * len(POWERS) for seed in range(3))


def test_a_case_that_never_ran_has_none() -> None:
    at_s = np.arange(0, 5, 0.1)
    turns = [(start, start + 0.05) for start in np.arange(0, 4.9, 0.13)]
    joules = np.cumsum(np.full(len(at_s), 30.0))
    assert watts([turns, []], at_s, joules)[1] is None


def test_without_a_counter_nothing_is_told() -> None:
    assert watts([[(0.0, 1.0)], [(1.0, 2.0)]], np.array([]), np.array([])) == [None, None]
    assert watts([], np.arange(5.0), np.arange(5.0)) == []
