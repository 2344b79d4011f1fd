"""Two nodes on one machine: network namespaces joined by a pair of virtual interfaces, and a core each."""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from launch.lifeline import kill_tree


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def possible() -> str | None:
    """Why namespaces cannot be made here; None where they can."""
    name = f"rankbench-{uuid.uuid4().hex[:6]}"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except FileNotFoundError:
        return "there is no ip command"
    except subprocess.CalledProcessError as error:
        return f"ip netns add: {error.stderr.decode().strip()}"
    return None if len(os.sched_getaffinity(0)) > 1 else "two nodes need two cores"


@dataclass(frozen=True)
class Node:
    """One of them."""

    namespace: str
    address: str
    cpu: int

    def start(self, *command: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command on this node."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "taskset", "-c", str(self.cpu), *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | (env or {}),
        )

    @property
    def processes(self) -> list[psutil.Process]:
        """What runs on it."""
        told = subprocess.run(["ip", "netns", "pids", self.namespace], check=True, capture_output=True, text=True)
        return [psutil.Process(int(pid)) for pid in told.stdout.split() if psutil.pid_exists(int(pid))]

    def kill(self) -> None:
        """Kill all of it, as if its power had failed."""
        for process in self.processes:
            kill_tree(process.pid)


def await_words(process: subprocess.Popen[str], words: str, deadline_s: float = 120) -> None:
    """Read what a process says until it has said ``words``; fails with all that it said where it never does."""
    assert process.stdout is not None
    said = []
    alarm = threading.Timer(deadline_s, kill_tree, [process.pid])
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
def two_nodes() -> Iterator[tuple[Node, Node]]:
    """Two nodes that can reach each other and nothing else."""
    mark = uuid.uuid4().hex[:6]
    nodes = tuple(
        Node(f"rankbench-{mark}-{number}", f"10.77.0.{number + 1}", cpu)
        for number, cpu in enumerate(sorted(os.sched_getaffinity(0))[:2])
    )
    links = [f"rb{mark}{number}" for number in range(2)]
    for node in nodes:
        ip("netns", "add", node.namespace)
    try:
        ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
        for node, link in zip(nodes, links, strict=True):
            ip("link", "set", link, "netns", node.namespace)
            ip("-n", node.namespace, "addr", "add", f"{node.address}/24", "dev", link)
            ip("-n", node.namespace, "link", "set", link, "up")
            ip("-n", node.namespace, "link", "set", "lo", "up")
        yield nodes[0], nodes[1]
    finally:
        for node in nodes:
            node.kill()
            ip("netns", "del", node.namespace)
