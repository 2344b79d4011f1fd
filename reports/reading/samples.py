"""The samples of a cell as arrays: a journal may have ten million, and Python's own numbers take four times the room.

Of each line only the samples are read so; everything else of it is a record of ``harness.journal.records`` as ever.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json, to_json

from harness.journal import records
from harness.journal.records import Entry

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

KINDS = {
    "round": (1, "i"),
    "position": (1, "i"),
    "start_s": (2, "f"),
    "end_s": (2, "f"),
    "device_s": (2, "f"),
    "enqueue_s": (2, "f"),
    "clock_mhz": (2, "f"),
    "held_back": (2, "i"),
}
"""How deep the lists of ``journal.Samples`` are nested, [sample] or [rank][sample], and numpy's kind of numbers."""
LONG_S = 1e9
"""Longer than any run, in seconds: what is beyond it was not measured."""
NEEDED = ("round", "position", "start_s", "end_s")


@dataclass(frozen=True, eq=False)
class CaseSamples:
    """Every sample of one case in one launch; see ``harness.journal.records.Samples``."""

    round: Whole
    """[sample]"""
    position: Whole
    """[sample]"""
    start_s: Array
    """[rank, sample]; so are all that follow."""
    end_s: Array
    device_s: Array | None = None
    enqueue_s: Array | None = None
    clock_mhz: Array | None = None
    held_back: Whole | None = None

    @classmethod
    def of(cls, record: object) -> Self:
        """The lists of a journal's line as arrays. Raises ValueError where they are no such lists, or do not fit."""
        if not isinstance(record, dict):
            raise ValueError(f"samples must be an object, but are a {type(record).__name__}")  # noqa: TRY004 - as promised
        strange = [name for name in record if name not in KINDS]
        lacking = [name for name in NEEDED if record.get(name) is None]
        if strange or lacking:
            raise ValueError(f"samples {'lack' if lacking else 'know no'} {(lacking + strange)[0]}")
        arrays = {name: _array(name, values) for name, values in record.items() if values is not None}
        shape = arrays["start_s"].shape
        for name, values in arrays.items():
            if values.shape != shape[-values.ndim :]:
                raise ValueError(f"samples.{name} has the shape {values.shape}, and start_s has {shape}")
        samples = cls(**arrays)
        if (samples.host_s <= 0).any() or any(
            (np.abs(values) > LONG_S).any() for values in (samples.start_s, samples.end_s)
        ):
            raise ValueError("samples have an end that is no time after its start")
        if samples.device_s is not None and ((samples.device_s < 0) | (samples.device_s > LONG_S)).any():
            raise ValueError("samples.device_s has a duration that is none")
        return samples

    @property
    def count(self) -> int:
        """How many samples."""
        return len(self.round)

    @property
    def host_s(self) -> Array:
        """Seconds of each sample by the host's clock."""
        return self.end_s - self.start_s

    def seconds(self, inner: int) -> Array:
        """Seconds of one of the ``inner`` steps of a sample: by the device's own clock where it has one."""
        return (self.host_s if self.device_s is None else self.device_s) / inner


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    """A list of numbers, or of lists of them that are equally long."""
    depth, kind = KINDS[name]
    try:
        array = np.array(values)
    except ValueError:
        raise ValueError(f"samples.{name} has lists of several lengths") from None
    if array.ndim != depth or (array.size and array.dtype.kind not in f"i{kind}"):
        raise ValueError(f"samples.{name} is no list of {'lists of ' * (depth - 1)}{'whole ' * (kind == 'i')}numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"samples.{name} has a number that is none")
    return array.astype(np.int64 if kind == "i" else np.float64)


def parse(text: bytes) -> tuple[Entry, CaseSamples | None]:
    """One record of a journal: without its samples, and these. Raises ValueError."""
    record = from_json(text, allow_inf_nan=False)
    samples = record.pop("samples", None) if isinstance(record, dict) and record.get("type") == "cell" else None
    return records.parse(to_json(record)), None if samples is None else CaseSamples.of(samples)
