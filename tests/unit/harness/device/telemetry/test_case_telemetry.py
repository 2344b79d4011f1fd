"""The gauge: a process that reads GPUs beside a measurement; here of a driver that a file stands in for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.device.telemetry import poller
from harness.device.telemetry.case_telemetry import CaseTelemetry, telemetry
from harness.device.telemetry.readings import LAYOUT, Readings
from harness.device.timing import RankSample, now
from harness.world.control import ControlPlane
from harness.world.telemetry_session import Read, gauged
from tests.limits import LIMIT_S

DRIVER = """
import time
class NVMLError(Exception): pass
NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0
def nvmlInit(): pass
def nvmlDeviceGetHandleByUUID(uuid): return ["GPU-a", "GPU-b"].index(uuid)
def nvmlDeviceGetMigMode(gpu):
    if gpu == 0: raise NVMLError("not supported")
    return [1, 1]
def nvmlDeviceGetClockInfo(gpu, kind): return 1500 + gpu
def nvmlDeviceGetCurrentClocksEventReasons(gpu): return 4 * gpu
def nvmlDeviceGetTotalEnergyConsumption(gpu): return int(time.monotonic() * 200_000)
def nvmlDeviceGetPowerUsage(gpu): return 200_000
def nvmlDeviceGetTemperature(gpu, sensor): raise NVMLError("not supported")
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pynvml.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


class Two(ControlPlane):
    """Two ranks of one host, of which this is one; the other is on the second GPU."""

    def gather(self, value: object, kind: object) -> list[object]:
        other = type(value)(value.host, "GPU-b", ()) if hasattr(value, "uuid") else None
        return [value, other]


def until(read: Read, count: int) -> Readings:
    """What was read, once it is so many records; each is handed out once."""
    end_s, tables = time.monotonic() + LIMIT_S, [read().table]
    while sum(map(len, tables)) < count and time.monotonic() < end_s:
        time.sleep(0.01)
        tables.append(read().table)
    table = np.concatenate(tables)
    assert np.all(np.diff(table["at_s"]) > 0)
    return Readings(table)


def gauges() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "harness.device.telemetry.poller" in child.cmdline()]


def test_it_reads_every_gpu_of_the_host_on_a_core_that_no_rank_has_and_ends_with_its_readers(driver: None) -> None:
    free = sorted(os.sched_getaffinity(0))
    with gauged(Two(size=2), "GPU-a", cpus=free[:1], free=free) as read:
        assert read is not None
        table = until(read, 5).table
        (process,) = gauges()
        assert process.cpu_affinity() == (free[1:] or free)
        assert process.nice() >= 10
    assert not process.is_running()
    assert set(table["mhz"]) == {1500} and set(table["held_back"]) == {0} and set(table["celsius"]) == {0}
    assert abs(float(table["at_s"][-1]) - now()) < 30
    assert all(table["energy_mj"] > 0)


def test_a_gpu_that_is_divided_has_no_power_of_its_own(driver: None) -> None:
    with gauged(ControlPlane(), "GPU-b", cpus=(), free=sorted(os.sched_getaffinity(0))) as read:
        table = until(read, 2).table
    assert set(table["mhz"]) == {1501} and set(table["held_back"]) == {4}
    assert set(table["energy_mj"]) == {0} and set(table["power_mw"]) == {0}


def test_it_does_not_outlive_a_process_that_is_killed(driver: None) -> None:
    code = (
        "import os, time\n"
        "from harness.world.control import ControlPlane\nfrom harness.world.telemetry_session import gauged\n"
        "with gauged(ControlPlane(), 'GPU-a', (), sorted(os.sched_getaffinity(0))) as read:\n"
        "    print(flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    parent.stdout.readline()
    (child,) = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_without_a_driver_nothing_is_read_and_nothing_fails() -> None:
    with gauged(ControlPlane(), "GPU-a", (), sorted(os.sched_getaffinity(0))) as read:
        assert read is not None and telemetry(read(), [[RankSample(1.0, 2.0, None)]]) == [CaseTelemetry()]
    with gauged(ControlPlane(), None, (), []) as read:
        assert read is None
    assert gauges() == []


def test_a_record_is_what_it_is_read_as() -> None:
    content = poller.RECORD.pack(12.5, 1, 1980, 4, 123_456_789_012, 700_000, 61)
    assert poller.RECORD.size == LAYOUT.itemsize
    (row,) = Readings.of(content + b"torn", 1).table.tolist()
    assert row == (12.5, 1, 1980, 4, 123_456_789_012, 700_000, 61)
    assert len(Readings.of(content, 0).table) == 0


def readings(*rows: tuple[float, int, int]) -> Readings:
    """Of (seconds, MHz, reasons)."""
    return Readings.of(b"".join(poller.RECORD.pack(at_s, 0, mhz, held, 0, 0, 0) for at_s, mhz, held in rows), 0)


def test_of_several_readings_the_mean_counts_and_every_reason_of_none_the_nearest() -> None:
    read = readings((1.00, 1900, 1), (1.02, 1800, 4), (1.04, 1700, 8), (1.10, 1000, 32))
    assert read.during(1.01, 1.05) == (1750.0, 12)
    assert read.during(1.045, 1.055) == (1700.0, 8)
    assert read.during(1.09, 1.095) == (1000.0, 32)
    assert read.during(3.0, 3.01) is None
    assert readings().during(1.0, 2.0) is None
    assert readings((1.0, 0, 0)).during(0.9, 1.1) is None  # the driver does not tell


def test_a_sample_has_the_reading_that_is_nearest() -> None:
    read = readings((1.0, 1900, 0), (2.0, 1500, 4))
    (told,) = telemetry(read, [[RankSample(0.99, 1.01, None), RankSample(1.99, 2.01, None)]])
    assert told == CaseTelemetry((1900.0, 1500.0), (0, 4), None)


def test_where_one_sample_has_no_reading_the_case_has_none() -> None:
    read = readings((1.0, 1900, 0))
    assert telemetry(read, [[RankSample(0.99, 1.01, None), RankSample(5.0, 5.01, None)], []]) == [
        CaseTelemetry(),
        CaseTelemetry(),
    ]
