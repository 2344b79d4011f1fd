"""CUDA graphs: a step that is captured once and replayed, where it can be.

See https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs for what a capture needs and forbids.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from harness.common.errors import RefusedError
from harness.work.counting import Count

WARM_UPS = 3
"""Steps before a capture, on the very stream that it is to be on: libraries set themselves up there."""
MODE = "thread_local"
"""NCCL's watchdog, a thread of its own, may go on asking for events meanwhile."""
EMPTY = "CUDA Graph is empty"
"""PyTorch's warning of a capture that has seen nothing."""


def refusal(count: Count, backend: str) -> str | None:
    """Why a step, of which one was counted, cannot be captured; None where nothing speaks against trying."""
    if count.host_reads:
        return f"reads to the host {_times(count.host_reads)} a step"
    if count.host_operations:
        return f"computes on the host {_times(count.host_operations)} a step, which a replay would not repeat"
    if count.reseeds:
        return "seeds random numbers in a step, which a replay would not repeat"
    if count.traffic_bytes and backend != "nccl":
        return f"its messages go through the host ({backend})"
    return None


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def captured(step: Callable[[], Any], device: torch.device, generators: Iterable[torch.Generator]) -> Callable[[], Any]:
    """What replays ``step``; it returns the captured step's output, whose memory each replay overwrites.

    Every graph has memory of its own, since replays come in any order. Raises RefusedError where it cannot be captured:
    afterwards the process proves nothing any more.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            step()
    torch.cuda.current_stream(device).wait_stream(stream)
    for generator in generators:
        graph.register_generator_state(generator)
    output = _capture(graph, stream, step)

    def replay() -> Any:
        graph.replay()
        return output

    return replay


def _capture(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, step: Callable[[], Any]) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode=MODE):
                output = step()
        except RuntimeError as error:  # CUDA's own errors are such
            first = error.__context__ or error  # ending a capture that has failed raises once more
            if isinstance(first, torch.OutOfMemoryError):
                raise first from None
            reason = next(iter(str(first).strip().splitlines()), type(first).__name__)
            raise RefusedError(f"cannot be captured: {reason}") from first
    if any(EMPTY in str(warning.message) for warning in caught):
        raise RefusedError("cannot be captured: the step launches nothing on the GPU")
    return output
