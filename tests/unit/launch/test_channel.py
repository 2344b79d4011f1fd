"""What a process holds is not held by its forks: who dies is missed, and what is let go of is free."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.local.channel import Server

FORKS = """
import os, sys, time
{make}
read, write = os.pipe()
if os.fork() == 0:
    os.close(read)
    os.write(write, b"up")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    time.sleep(600)
os.close(write)
os.read(read, 2)
print("forked", flush=True)
sys.stdin.read()
{leave}
os._exit(1)
"""
"""A process that makes something, has a child that goes on for long, and ends once it is told to."""


def forking(make: str, leave: str = "") -> subprocess.Popen[str]:
    line = [sys.executable, "-c", FORKS.format(make=make, leave=leave)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "forked\n"
    return process


@pytest.fixture
def parent() -> Callable[..., subprocess.Popen[str]]:
    """Starts such a process; at the end its child is gone, too."""
    made = []

    def start(make: str, leave: str = "") -> subprocess.Popen[str]:
        made.append(forking(make, leave))
        return made[-1]

    yield start
    for process in made:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def ended(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)


def test_a_rank_that_dies_hangs_up_though_its_child_lives(parent: Callable[..., subprocess.Popen[str]]) -> None:
    server = Server()
    make = "from launch.local.channel import Client; line = Client(sys.argv[1]); line.send({'type': 'hello'})"
    ended(parent(make.replace("sys.argv[1]", repr(server.address))))
    kinds: list[str] = []
    while len(kinds) < 2:
        heard = [kind for _, kind, _ in server.events(30)]
        kinds += heard
    assert kinds == ["line", "closed"]
    server.close()


def test_a_folder_goes_with_who_made_it_and_not_with_its_child(
    parent: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    make = (
        f"from launch.processes.scratch import scratch; from pathlib import Path; it = scratch(Path({str(tmp_path)!r}))"
    )
    process = parent(make + "; it.__enter__()", "it.__exit__(None, None, None)")
    assert (tmp_path / "scratch").is_dir()
    ended(process)
    assert not (tmp_path / "scratch").exists()


def test_a_journal_is_free_once_its_run_has_died(parent: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    from harness.journal.log import Journal

    path = tmp_path / "journal.jsonl"
    ended(
        parent(f"from harness.journal.log import Journal; from pathlib import Path; it = Journal(Path({str(path)!r}))")
    )
    Journal(path).close()
