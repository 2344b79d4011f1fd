"""Control groups: a quota of one's own group or of a parent is found in both versions, and what it takes is told."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.device import cpu_quota
from harness.device.telemetry.cpu_load import CpuTime, busy_ticks, warnings_of
from harness.journal.measurement_warnings import Kind
from tests.limits import LIMIT_S

V2 = "0::/user.slice/job 7.scope\n"
V1 = "5:cpu,cpuacct:/kubepods/pod1/c2\n2:cpuset:/other\n0::/\n"


def tree(root: Path, cgroup: str, mounts: str) -> tuple[Path, ...]:
    """The groups of a process whose /proc files say so; mount points are below ``root``, which is called ROOT there."""
    (root / "cgroup").write_text(cgroup)
    (root / "mountinfo").write_text(mounts.replace("ROOT", str(root)))
    return cpu_quota.groups(root)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_quota_of_a_parent_is_found_in_version_2(tmp_path: Path) -> None:
    found = tree(tmp_path, V2, "30 23 0:26 / ROOT/sys rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    assert found == (tmp_path / "sys/user.slice/job 7.scope", tmp_path / "sys/user.slice", tmp_path / "sys")
    write(found[0], cpu__max="max 100000\n", cpu__stat="usage_usec 9\nnr_throttled 0\nthrottled_usec 0\n")
    write(found[1], cpu__max="150000 100000\n", cpu__stat="nr_throttled 3\nthrottled_usec 250000\n")
    assert cpu_quota.quota(found) == 1.5
    assert cpu_quota.throttled_s(found) == pytest.approx(0.25) and cpu_quota.throttled_periods(found) == 3
    write(found[0], cpu__max="50000 100000\n")
    assert cpu_quota.quota(found) == 0.5


def test_a_quota_is_found_in_version_1_beside_a_version_2_that_has_none(tmp_path: Path) -> None:
    mounts = (
        "31 24 0:27 / ROOT/unified rw - cgroup2 cgroup2 rw\n"
        "32 24 0:28 / ROOT/cpuset rw - cgroup cgroup rw,cpuset\n"
        "33 24 0:29 / ROOT/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    )
    found = tree(tmp_path, V1, mounts)
    assert {folder.relative_to(tmp_path).parts[0] for folder in found} == {"cpu", "unified"}
    own, pod = tmp_path / "cpu/kubepods/pod1/c2", tmp_path / "cpu/kubepods/pod1"
    write(own, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n", cpu__stat="nr_throttled 0\nthrottled_time 0\n")
    assert cpu_quota.quota(found) is None
    write(pod, cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n", cpu__stat="throttled_time 1500000000\n")
    assert cpu_quota.quota(found) == 2 and cpu_quota.throttled_s(found) == pytest.approx(1.5)


def test_a_container_has_its_group_at_the_mount_point_whatever_the_host_calls_it(tmp_path: Path) -> None:
    line = "33 24 0:29 {root} ROOT/with\\040blank rw - cgroup cgroup rw,cpu\n"
    for root in ("/kubepods/pod1/c2", "/../elsewhere"):
        (found,) = [path for path in tree(tmp_path, V1, line.format(root=root)) if path.name != "unified"]
        assert found == tmp_path / "with blank"


@given(st.text(alphabet="max -0123456789\n", max_size=20), st.text(max_size=20))
def test_no_text_of_the_kernel_is_an_error(limit: str, stat: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), cpu__max=limit)
        (Path(folder) / "cpu.stat").write_text(stat, encoding="utf-8")
        quota = cpu_quota.quota([Path(folder)])
        assert quota is None or quota > 0
        assert cpu_quota.throttled_s([Path(folder)]) >= 0


def test_what_a_quota_took_is_a_warning_of_its_own_and_no_foreign_load() -> None:
    (warning,) = warnings_of([CpuTime(1.0, 0.5, 0.495, 0.535, 0.98), CpuTime(1.0, 0.99, 0.01, 1.0, 0.98)])
    assert warning.kind is Kind.CPU_THROTTLED and warning.rank == 0 and "50\u00a0%" in warning.fact
    assert "--cpus" in warning.kind.remedy
    assert not warnings_of([CpuTime(1.0, 0.5, 0.495, 0.535, None)])


def test_a_stat_file_that_lacks_a_cpu_tells_nothing_of_it() -> None:
    stat = "cpu  9 9 9 9\ncpu0 1 2 3 100 5 6 7 8\ncpu2 10 0 0 0 0 0 0 0\nintr 5\n\n"
    assert busy_ticks(stat, {0}) == 1 + 2 + 3 + 6 + 7 + 8
    assert busy_ticks(stat, {0, 2}) == 27 + 10
    assert busy_ticks(stat, {1}) is None and busy_ticks(stat, {0, 1}) is None


BUSY = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from harness.device import cpu_quota as cgroups
from harness.device.telemetry.cpu_load import CpuTime
assert cgroups.shortage(1), "no quota was seen"
before, end_s = CpuTime.now(), time.monotonic() + 60
while (CpuTime.now() - before).held_back < 0.2 and time.monotonic() < end_s:
    pass
print((CpuTime.now() - before).held_back >= 0.2)
"""


def test_a_real_quota_is_seen_by_a_process_that_it_holds_back() -> None:
    parent = next((folder for folder in cpu_quota.groups() if (folder / "cgroup.procs").exists()), None)
    folder = (parent or Path("/nowhere")) / f"rankbench-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        v2 = (folder / "cpu.max").exists()
        (folder / ("cpu.max" if v2 else "cpu.cfs_quota_us")).write_text("20000 100000" if v2 else "20000")
    except OSError as error:
        with suppress(OSError):
            folder.rmdir()
        pytest.skip(f"control groups with a quota cannot be made here: {error.strerror}")
    try:
        line = [sys.executable, "-c", BUSY, str(folder)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        assert done.stdout == "True\n", done.stderr
    finally:
        folder.rmdir()
