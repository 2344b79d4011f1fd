"""A CUDA GPU as the timing loop sees it: marks on its stream, a pause to launch behind, its cache, other streams."""

import itertools
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from harness.device import nvml

MARKS = 16
"""Number of events used in turn: a mark stays valid until this many more have been set."""
CYCLES = 20_000_000, 2_000_000
"""Of the pauses that tell how long a clock cycle is; the first, some ten milliseconds, wakes the clocks."""
LEAST_CYCLES = 100_000
"""A shorter pause tells too little, by events of half a microsecond."""
PAUSE_S = 200e-6
"""A pause behind which a few marks are launched in time."""
CACHES = 2
"""What clears the L2 cache writes so many times its size."""


class CudaDevice:
    """One GPU, timed by events on its current stream. The process must have made it its current device."""

    queues = True
    """Work launched on a GPU is completed later."""

    def __init__(self, index: int) -> None:
        self.index = index
        self._events: Iterator[Any] | None = None
        self._cycles_per_s = 0.0
        self._pause: tuple[Any, Any] | None = None
        self._paused = 0
        self._buffer: torch.Tensor | None = None

    @property
    def torch(self) -> torch.device:
        """This GPU."""
        return torch.device("cuda", self.index)

    @property
    def model(self) -> str:
        """The GPU's model."""
        return torch.cuda.get_device_name(self.index)

    @property
    def memory_bytes(self) -> int:
        """The GPU's whole memory."""
        return int(torch.cuda.get_device_properties(self.index).total_memory)

    @property
    def free_bytes(self) -> int:
        """Memory that is free, or cached but unused by this process's allocator."""
        free, _ = torch.cuda.mem_get_info(self.index)
        return int(free + torch.cuda.memory_reserved(self.index) - torch.cuda.memory_allocated(self.index))

    @property
    def uuid(self) -> str:
        """The GPU's UUID, as PyTorch writes it."""
        return str(torch.cuda.get_device_properties(self.index).uuid)

    @property
    def board(self) -> str:
        """The UUID of the whole GPU, of which this may be an instance."""
        return nvml.uuid(self.index) or self.uuid

    def synchronize(self) -> None:
        """Wait for every stream of this GPU."""
        torch.cuda.synchronize(self.index)

    def stream(self) -> Any:
        """The current stream."""
        return torch.cuda.current_stream(self.index)

    def mark(self) -> Any:
        """An event on the current stream."""
        if self._events is None:
            self._events = itertools.cycle([torch.cuda.Event(enable_timing=True) for _ in range(MARKS)])
        event = next(self._events)
        event.record(self.stream())
        return event

    def new_mark(self) -> Any:
        """An event of its own on the current stream: it stays good however many marks follow."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(self.stream())
        return event

    def reached(self, mark: Any) -> bool:
        """Whether the GPU has come to a mark."""
        return bool(mark.query())

    def between(self, start: Any, end: Any) -> float:
        """Seconds between two events; CUDA reports milliseconds with a resolution of about half a microsecond."""
        return float(start.elapsed_time(end)) / 1000

    def hold(self, seconds: float) -> Any:
        """Set a mark and launch a pause of about so long behind it: one thread that counts clock cycles.

        It ends by itself, so that a step that waits for the GPU loses time, but never hangs.
        """
        self._paused = round(seconds * self._pace())
        if (
            self._pause is None
        ):  # others are taken in turn, and many may be before the next pause asks what this one took
            self._pause = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start, end = self._pause
        start.record(self.stream())
        torch.cuda._sleep(self._paused)  # noqa: SLF001 - PyTorch's own tests launch their pauses so
        end.record(self.stream())
        return start

    def fork(self, streams: Iterable[Any]) -> None:
        """Let what is launched on ``streams`` from now on wait for all that was launched on the current one."""
        current = self.stream()
        for stream in streams:
            stream.wait_stream(current)

    def join(self, streams: Iterable[Any]) -> None:
        """Let what is launched from now on wait for all that was launched on ``streams``."""
        current = self.stream()
        for stream in streams:
            current.wait_stream(stream)

    def flush(self) -> None:
        """Launch what drives everything else out of the L2 cache."""
        if self._buffer is None:
            size = CACHES * torch.cuda.get_device_properties(self.index).L2_cache_size
            self._buffer = torch.empty(size, dtype=torch.uint8, device=self.torch)
        self._buffer.zero_()

    def least(self) -> float:
        """Seconds between two marks with nothing in between, launched behind a pause: the median of some."""
        measured_s = []
        for _ in range(9):
            self.hold(PAUSE_S)
            start, end = self.mark(), self.mark()
            self.synchronize()
            measured_s.append(self.between(start, end))
        return statistics.median(measured_s)

    def _pace(self) -> float:
        """Clock cycles in a second, as the last pause was; clocks move, and those of two GPUs apart."""
        if self._pause and self._paused >= LEAST_CYCLES and self._pause[1].query():
            self._cycles_per_s = self._paused / self.between(*self._pause)
        if not self._cycles_per_s:
            for cycles in CYCLES:
                start = self.mark()
                torch.cuda._sleep(cycles)  # noqa: SLF001
                end = self.mark()
                self.synchronize()
                self._cycles_per_s = cycles / self.between(start, end)
        return self._cycles_per_s
