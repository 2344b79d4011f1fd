"""Nodes on one machine, joined by a virtual switch, with cores, a network, a name and processes each.

They share the machine's disk, as nodes of a cluster may do. Each has a monotonic clock of its own, two hours from the
next one's. When this process ends so do they.
"""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from launch.processes.cleanup import below, kill_all
from tests.limits import LIMIT_S

OWN = ("unshare", "--net", "--uts", "--ipc", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child")
"""Runs a command as the first process of a node: when that ends, the kernel ends all others there."""
CLOCKS = Path("/proc/self/ns/time")
"""Is there where the kernel has namespaces of time."""
APART_S = 7261.0
"""How far each node's clock is ahead of the one before."""
BOOT = """
set -e
hostname "$0"
ip link set lo up
mkdir -p /tmp/ray
mount -t tmpfs tmpfs /tmp/ray
mount -t tmpfs tmpfs /dev/shm
echo "127.0.0.1 localhost $0" >/dev/shm/hosts
mount --bind /dev/shm/hosts /etc/hosts
echo up
cat
:
"""
"""Lives until its standard input is closed, and collects orphans, which cat alone would not.

As on most Linux hosts, the name resolves to the loopback."""


LINK = "wire"
"""The interface of a node to the others."""


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


def possible() -> str | None:
    """Why nodes cannot be made here; None where they can."""
    if len(os.sched_getaffinity(0)) < 2:
        return "two nodes need two cores"
    if not CLOCKS.exists():
        return "two nodes need two clocks, and this kernel has no namespaces of time"
    try:
        with two_nodes():
            return None
    except FileNotFoundError as error:
        return f"there is no {error.filename} command"
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made: {error.stderr or error}".strip()


@dataclass(frozen=True)
class Node:
    """One of them."""

    name: str
    address: str
    cpus: tuple[int, ...]
    ahead_s: float
    """How far its monotonic clock is ahead of the first node's."""
    first: subprocess.Popen[str]
    """Has made its first process."""

    @cached_property
    def pid(self) -> int:
        """Its first process."""
        return psutil.Process(self.first.pid).children()[0].pid

    def start(self, *command: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command on this node."""
        cpus = ",".join(map(str, self.cpus))
        return subprocess.Popen(
            ["nsenter", "--target", str(self.pid), "--all", "--wd", "taskset", "-c", cpus, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | (env or {}),
        )

    def run(self, *command: object) -> None:
        """Run a command of the network there. Raises subprocess.CalledProcessError."""
        _run("nsenter", "--target", self.pid, "--net", *command)

    def path(self, path: str) -> Path:
        """Where a path of this node is outside of it; below /dev/shm every node has files of its own."""
        return Path(f"/proc/{self.pid}/root{path}")

    def kill(self) -> None:
        """Kill all that runs on it, as if its power had failed."""
        kill_tree(self.first.pid)


def kill_tree(pid: int) -> None:
    """Kill a process and all below it."""
    kill_all({pid} | below([pid]))


def await_words(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process says until it has said ``words``; after too long a time fail with all that it said."""
    assert process.stdout is not None
    said = []
    alarm = threading.Timer(LIMIT_S, kill_tree, [process.pid])
    alarm.start()
    try:
        for line in process.stdout:
            said.append(line)
            if words in line:
                return
    finally:
        alarm.cancel()
        alarm.join()
    raise AssertionError(f"it never said {words!r} but:\n{''.join(said)}")


@contextmanager
def _booted(name: str, address: str, cpus: tuple[int, ...], ahead_s: float) -> Iterator[Node]:
    """A node without a network. Raises subprocess.CalledProcessError where it cannot be made."""
    clocks = ["--time", f"--monotonic={ahead_s:.0f}", f"--boottime={ahead_s:.0f}"] if ahead_s else []
    line = [*OWN, *clocks, "sh", "-c", BOOT, name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(line, **pipes, text=True) as first:
        assert first.stdout and first.stderr
        if first.stdout.readline() != "up\n":
            raise subprocess.CalledProcessError(first.wait(), line, stderr=first.stderr.read())
        node = Node(name, address, cpus, ahead_s, first)
        wires = os.open(f"/proc/{node.pid}/ns/net", os.O_RDONLY)  # a dead node's end of the wire stays plugged in
        try:
            yield node
        finally:
            os.close(wires)
            node.kill()


@contextmanager
def several_nodes(*cpus: tuple[int, ...]) -> Iterator[tuple[Node, ...]]:
    """Nodes that can reach each other and nothing else, one for each of ``cpus``, its cores."""
    mark = uuid.uuid4().hex[:6]
    with ExitStack() as stack:
        switch = stack.enter_context(_booted(f"switch-{mark}", "", (), 0.0))
        switch.run("ip", "link", "add", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "switch", "up")
        nodes = []
        for number, mine in enumerate(cpus):
            address = f"10.77.0.{number + 1}"
            node = stack.enter_context(_booted(f"node-{mark}-{number}", address, mine, number * APART_S))
            pair = "type", "veth", "peer", "name", f"port{number}", "netns", switch.pid
            _run("ip", "link", "add", LINK, "netns", node.pid, *pair)
            switch.run("ip", "link", "set", f"port{number}", "master", "switch", "up")
            node.run("ip", "addr", "add", f"{address}/24", "dev", LINK)
            node.run("ip", "link", "set", LINK, "up")
            nodes.append(node)
        yield tuple(nodes)


@contextmanager
def two_nodes(cores: int = 1) -> Iterator[tuple[Node, Node]]:
    """Two nodes: the first has so many cores, the second the second one."""
    have = tuple(sorted(os.sched_getaffinity(0)))
    with several_nodes(have[:cores], have[1:2]) as (first, second):
        yield first, second
