"""Causes: what went wrong where a case failed, and what its cell says of that."""

import sys
from dataclasses import replace

import torch

from harness.common.errors import HangError, RefusedError, Skip
from harness.common.text import words_of
from harness.journal import full_disk
from harness.journal.plan import Case
from harness.journal.records import Status
from harness.world.control import Failure


def culprit(error: BaseException, rank: int, case: Case) -> tuple[BaseException, int]:
    """The first cause of an error and its rank: a distributed checkpoint tells every rank of the ranks that failed."""
    api = sys.modules.get("torch.distributed.checkpoint.api")  # slow to load; whoever raised its error has loaded it
    if api is None or not isinstance(error, api.CheckpointException) or not error.failures:
        return error, rank
    first = min(error.failures)
    return error.failures[first][0], rank if case.gang_size == 1 else rank - rank % case.gang_size + first


def failure(error: BaseException, rank: int, rejected: Status, when_s: float) -> Failure:
    """The failure that an exception from a scenario means."""
    text = words_of(error)
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, AssertionError):
        return Failure.of(rejected, text or "the check failed", rank, when_s)
    if isinstance(error, HangError):
        return Failure.of("hang", text, rank, when_s)
    if isinstance(error, RefusedError):
        return replace(Failure.of("skipped", text, rank, when_s), by_design=isinstance(error, Skip))
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        return Failure.of("oom", message, rank, when_s)
    if complaint := full_disk.complaint(error):
        return Failure.of("error", complaint, rank, when_s)
    failed = Failure.of("error", message, rank, when_s)
    return replace(failed, sticky=isinstance(error, torch.AcceleratorError))
