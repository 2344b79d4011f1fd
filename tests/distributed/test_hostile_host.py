"""A host on which hardly anything is as usual, and a run that is frozen for a while: everything is measured."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.distributed.conftest import LOOPBACK, PLUGINS, Run, listeners, offspring_of, wait_for_case
from tests.limits import LIMIT_S

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

DEADLINE_S = 8
NAMESPACE = """
ip link set lo up
if grep -q " lo$" /proc/net/if_inet6; then ip addr del 127.0.0.1/8 dev lo; fi
hostname nowhere
exec "$0" "$@"
"""
"""A network that is a loopback with an IPv6 address, where there is one, and a name that no resolver knows."""
FEW = 'ulimit -S -n 70; exec "$0" "$@"'
"""Fewer open files than two ranks may need, but no more than that can be had."""
EXECUTED = "import pathlib; pathlib.Path(__file__).with_suffix('.executed').touch()"
SHADOWS = "launch.py", "random.py", "profile.py", "harness/__init__.py", "scenarios/__init__.py"


def namespace() -> list[str]:
    """What starts a command in such a namespace; nothing where the system permits none."""
    line = ["unshare", "--net", "--uts", "sh", "-ec", NAMESPACE]
    possible = shutil.which("unshare") and subprocess.run([*line, "true"], capture_output=True, check=False)
    return line if possible and possible.returncode == 0 else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory in which files are called like modules of ours and of Python's."""
    for name in SHADOWS:
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(EXECUTED)
    return tmp_path / "work"


def freeze(mark: str, seconds: float) -> None:
    """Stop every process of a run for a while, as a suspended job is."""
    family = offspring_of(mark)
    for process in family:
        process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    for process in family:
        process.send_signal(signal.SIGCONT)


def test_everything_is_measured_on_a_hostile_host_and_after_a_suspension(folder: Path, tmp_path: Path) -> None:
    mark, root = uuid.uuid4().hex, tmp_path / "run"
    (long := tmp_path / ("t" * max(1, 84 - len(str(tmp_path))))).mkdir()
    line = [sys.executable, "-P", "-m", "harness", "run", f"{PLUGINS}:Loads", "--devices", "cpu:2"]
    line += ["--launches", "1", "--budget", "6", "--deadline", str(DEADLINE_S), "--out", str(root)]
    with subprocess.Popen(
        [*namespace(), "sh", "-c", FEW, *line],
        env=os.environ | {"RANKBENCH_TEST": mark, "TMPDIR": str(long), "GLOO_SOCKET_IFNAME": "nowhere0"},
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            wait_for_case(root, 0, process)
            addresses = listeners(each.pid for each in offspring_of(mark))
            freeze(mark, DEADLINE_S + 4)
            said = process.communicate(timeout=LIMIT_S)[0]
        finally:
            process.kill()
    run = Run(root, process.returncode, said)
    assert run.code == 0, said
    assert {cell.status for cell in run.cells} == {"ok"}, said
    assert addresses and addresses <= LOOPBACK
    assert not list(folder.rglob("*.executed"))
    assert [path.name for path in long.iterdir() if not path.name.startswith("torchinductor_")] == []
