"""What the flight recorder has in flight: no more than what is, and never a wait for a recorder that hangs."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from harness.world import flight_recorder

RECORDER = "harness.world.flight_recorder.c10d."


def entry(number: int, *, ago_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """As PyTorch 2.11 and 2.13 write them."""
    return {
        "record_id": number,
        "collective_seq_id": number,
        "p2p_seq_id": 100 + number,
        "is_p2p": False,
        "profiling_name": "nccl:all_reduce",
        "process_group": ["1", "undefined"],
        "input_dtypes": ["Float", "Half"],
        "input_sizes": [[3, 4], [5]],
        "retired": False,
        "state": "started",
        "time_created_ns": time.time_ns() - int(ago_s * 1e9),
    } | more


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """NCCL's, beside gloo's real one, which is empty here."""
    entries: list[dict[str, Any]] = []
    monkeypatch.setattr(
        f"{RECORDER}_dump_nccl_trace_json", lambda: json.dumps({"entries": entries}).encode(), raising=False
    )
    return entries


def test_what_has_ended_and_what_was_begun_long_ago_is_not_in_flight(recorder: list[dict[str, Any]]) -> None:
    recorder += [entry(1, ago_s=60), entry(2, retired=True), entry(3, state="completed"), entry(4)]
    assert flight_recorder.pending(30) == (
        "nccl:all_reduce number 4 of group 1 (undefined), Float [3, 4] and Half [5]: started",
    )


def test_messages_between_two_have_their_own_numbers(recorder: list[dict[str, Any]]) -> None:
    recorder.append(entry(1, is_p2p=True, profiling_name="nccl:send 0->1"))
    assert flight_recorder.pending(30)[0].startswith("nccl:send 0->1 number 101 of group 1")


def test_the_newest_are_told_the_oldest_first_and_each_once(
    recorder: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder += [entry(number, ago_s=20 - number) for number in range(20)]
    monkeypatch.setattr(f"{RECORDER}_dump_fr_trace_json", lambda: json.dumps({"entries": recorder}))  # one for both
    assert [each.split()[2] for each in flight_recorder.pending(30)] == [str(number) for number in range(12, 20)]


def test_a_recorder_that_hangs_is_not_waited_for(
    recorder: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(f"{RECORDER}_dump_fr_trace_json", lambda: str(never.wait()))
    recorder.append(entry(1))
    try:
        assert len(flight_recorder.pending(30)) == 1
    finally:
        never.set()


@pytest.mark.parametrize(
    "nothing", ["", "{}", "not json", "[1]", '{"entries": [{"of": "another format"}]}', '{"entries": 3}']
)
def test_without_a_recorder_nothing_is_told(monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    monkeypatch.setattr(f"{RECORDER}_dump_fr_trace_json", lambda: nothing)
    assert flight_recorder.pending(30) == ()
    assert not flight_recorder.used_default_group(30)


def test_who_used_the_default_group_lately_is_known(recorder: list[dict[str, Any]]) -> None:
    recorder += [entry(1, ago_s=60, process_group=["0", "default_pg"]), entry(2)]
    assert not flight_recorder.used_default_group(30) and flight_recorder.used_default_group(90)
    recorder.append(entry(3, process_group=["0", "default_pg"], retired=True, state="completed"))
    assert flight_recorder.used_default_group(30)
