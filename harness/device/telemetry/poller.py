"""The poller: a process of its own that reads GPUs' clocks, power and energy while others measure on them.

python -m harness.device.telemetry.poller FD UUID...   appends records to the file FD until its standard input is closed

It only asks the driver, makes no CUDA context, and imports no PyTorch.
"""

import contextlib
import os
import select
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pynvml

PERIOD_S = 0.020
"""Between two looks: the driver itself looks no more often than every 20 to 100 ms."""
RECORD = struct.Struct("=dIIQQIi")
"""Seconds of CLOCK_MONOTONIC, place of the GPU, MHz, reasons to hold back, mJ since the driver was loaded, mW, °C.

What the driver does not tell is 0.
"""


def main(arguments: Sequence[str]) -> None:
    """Read until the process that started this one is gone."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        boards = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in arguments[1:]]
        while not select.select([sys.stdin], [], [], PERIOD_S)[0]:
            look(int(arguments[0]), boards)


def look(file: int, boards: Sequence[Any]) -> None:
    """Append one record a GPU."""
    for place, board in enumerate(boards):
        os.write(file, RECORD.pack(time.clock_gettime(time.CLOCK_MONOTONIC), place, *_reading(board)))


def _reading(board: Any) -> list[int]:
    whole = not _asked(lambda: pynvml.nvmlDeviceGetMigMode(board)[0])  # else others may draw power from the same board
    return [
        _asked(lambda: pynvml.nvmlDeviceGetClockInfo(board, pynvml.NVML_CLOCK_SM)),
        _asked(lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(board)),
        _asked(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(board)) if whole else 0,
        _asked(lambda: pynvml.nvmlDeviceGetPowerUsage(board)) if whole else 0,
        _asked(lambda: pynvml.nvmlDeviceGetTemperature(board, pynvml.NVML_TEMPERATURE_GPU)),
    ]


def _asked(ask: Callable[[], int]) -> int:
    try:
        return int(ask())
    except pynvml.NVMLError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1:])
