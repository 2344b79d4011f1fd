"""The trial of hosts: what a run over several of them says and does where hosts, links and commands are not well.

Hosts are network namespaces with clocks of their own. `python -m tests.faults.hosts [name …]` prints a Markdown table.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from _pytest.outcomes import Failed

from harness.device import cpu_quota
from harness.journal.run_directory import RunDir
from launch.processes.cleanup import below
from tests.distributed.namespaces import LINK, possible, several_nodes
from tests.faults.hosts_ray import RAY_TRIALS
from tests.faults.hosts_run import PORT, Job, Seen, Trial, cores

LINK_BITS = 100e6
REDUCE = '''"""All-reduce of four megabytes."""
from dataclasses import dataclass
from typing import ClassVar

import torch
from harness.scenario import Gang, Scaling, Work, Workload


@dataclass(frozen=True, kw_only=True)
class Reduce:
    """All-reduce of one tensor."""

    scaling: ClassVar[Scaling] = "weak"

    def prepare(self, gang: Gang) -> Workload:
        mine = torch.ones(1_000_000)

        def check(total):
            torch.testing.assert_close(total, torch.full_like(mine, gang.size))

        return Workload(lambda: gang.all_reduce(mine.clone()), check=check, work=Work(items=1_000_000, unit="number"))
'''


def healthy(trial: Trial) -> Seen:
    job = trial.split("--budget", 8)
    codes = job.ended()
    well = not any(codes) and set(trial.statuses) == {"ok"}
    error_s = max(abs(rank.clock_offset_s + node.ahead_s) - rank.clock_error_s
                  for rank, node in zip(trial.launches[0].ranks, trial.nodes, strict=True))  # fmt: skip
    return (
        well and error_s <= 0,
        f"exit {codes}, cells {trial.statuses}, clocks right within their errors: {error_s <= 0}",
    )


def slow_host(trial: Trial) -> Seen:
    with _quota(0.6) as (join, held_back):
        for _ in range(6):
            job = trial.split("--budget", 20)
            join(job.processes[1].pid)
            job.ended()
        if not held_back():
            return False, "the quota held nothing back, so no host was slow"
    slow = f"Host `{trial.nodes[1].name}` is slow by itself"
    first = next(claim["text"] for claim in trial.summary["claims"] if claim["kind"] not in ("caveat", "failure"))
    terminal = " ".join(job.words().split())
    return first.startswith(slow) and slow.replace("`", "") in terminal, first


def slow_link(trial: Trial) -> Seen:
    (plugin := trial.root.parent / "reduce.py").write_text(REDUCE)
    for node in trial.nodes:
        node.run("tc", "qdisc", "add", "dev", LINK, "root", "tbf", "rate", f"{LINK_BITS:.0f}bit",
                 "burst", "32kb", "latency", "400ms")  # fmt: skip
    for _ in range(6):
        trial.torchrun("run", f"{plugin}:Reduce", "--devices", "cpu:1", "--budget", 60, "--out", trial.root).ended()
    (row,) = (row for row in trial.summary["losses"] if row["world_size"] > 1)
    parts = ("contention", "imbalance", "communication", "other")
    seconds = {part: row[part]["seconds"] for part in parts if row[part] is not None}
    mbit = 8e-6 * (row["bytes_per_s"] or 0.0)
    well = max(seconds, key=lambda part: seconds[part]) == "communication" and 85 <= mbit <= 100
    return well, f"{mbit:.1f} Mbit/s: {row['text']}"


def killed_host(trial: Trial) -> Seen:
    job = trial.halfway()
    before, when_s = trial.statuses.get("ok", 0), job.now_s
    trial.nodes[-1].kill()
    code = job.ended()[0]
    return _lost(trial, job, code, before, job.now_s - when_s, limit_s=30)


def link_down(trial: Trial) -> Seen:
    job, node = trial.halfway(), trial.nodes[-1]
    before, when_s = trial.statuses.get("ok", 0), job.now_s
    node.run("ip", "link", "set", LINK, "down")
    told_s = job.heard(node.name, limit_s=60)
    while job.now_s < when_s + 40 and job.processes[0].poll() is None:
        time.sleep(0.1)
    node.run("ip", "link", "set", LINK, "up")
    code = job.ended()[0]
    return _lost(trial, job, code, before, (told_s or job.now_s) - when_s, limit_s=30)


def _lost(trial: Trial, job: Job, code: int, before: int, took_s: float, limit_s: float) -> Seen:
    """What is to be said of a host that is lost: no cell is charged but that of a case in which it had a part."""
    last = len(trial.nodes) - 1
    name = f"rank {last} ({trial.nodes[last].name})"
    died, skipped = ([cell for cell in trial.cells if cell.status == status] for status in ("died", "skipped"))
    named = all(name in (cell.message or "") for cell in (*died, *skipped))
    charged = len(died) <= 1 and all(cell.rank == last and not cell.case.endswith("@1") for cell in died)
    words = (died or skipped)[0].message if died or skipped else job.words()[-200:]
    seen = f"exit {code}, told after {took_s:.1f} s, cells {trial.statuses}: {words}"
    return code == 1 and named and charged and trial.statuses.get("ok", 0) >= before and took_s <= limit_s, seen


def firewall(trial: Trial) -> Seen:
    """The port at which torchruns meet is open, all others drop what comes."""
    for node in trial.nodes:
        node.run("ip", "rule", "add", "pref", "100", "lookup", "local")
        for pref, port in ((1, "dport"), (2, "sport")):
            node.run("ip", "rule", "add", "pref", pref, "iif", LINK, "ipproto", "tcp", port, PORT, "lookup", "local")
        node.run("ip", "rule", "add", "pref", "50", "iif", LINK, "ipproto", "tcp", "blackhole")
        node.run("ip", "rule", "del", "pref", "0")
    job = trial.split("--budget", 8)
    told_s = job.heard(r"waits for", limit_s=60)
    codes = job.ended(150)
    lines = [line for _, line in job.said[0] if "waits for" in line or "cannot connect" in line]
    seen = f"first word after {told_s} s, exit {codes} after {job.now_s:.0f} s: {' … '.join(lines)}"
    return told_s is not None and told_s < 30 and all(codes) and len(lines) > 1, seen


def late_host(trial: Trial) -> Seen:
    job = trial.split("--budget", 8, nodes=trial.nodes[:1])
    time.sleep(20)  # the hosts' torchruns wait for each other, before there are ranks
    codes = job.ended() if job.processes[0].poll() is not None else []
    codes += trial.split("--budget", 8, nodes=trial.nodes[1:]).ended() + job.ended()
    return not any(codes) and set(trial.statuses) == {"ok"}, f"exit {codes}, cells {trial.statuses}"


def refusing(trial: Trial) -> Seen:
    """A plugin's file is on the first host alone."""
    trial.nodes[0].path("/dev/shm/reduce.py").write_text(REDUCE)
    line = ("run", "/dev/shm/reduce.py:Reduce", "--devices", "cpu:1", "--budget", 8, "--out", trial.root)
    job = trial.torchrun(*line)
    refused_s = job.heard("reduce.py", host=1)
    codes = job.ended(90)
    took_s = job.now_s - (refused_s or 0)
    said = next((line for _, line in job.said[0] if "reduce.py" in line), job.words()[-200:])
    return all(codes) and took_s < 15 and "reduce.py" in said, f"exit {codes} {took_s:.1f} s after the refusal: {said}"


def resumed(trial: Trial) -> Seen:
    job = trial.halfway()
    job.terminate(1)
    first = job.ended()
    planned = len(list(RunDir(trial.root).plan().cells())) // RunDir(trial.root).plan().launches
    lacking = planned - trial.statuses.get("ok", 0)
    advice = next((line for _, line in job.said[0] if f"--resume {trial.root}" in line), "no advice")
    codes = trial.torchrun("run", "--resume", trial.root).ended()
    hosts = {tuple(rank.host for rank in launch.ranks) for launch in trial.launches}
    finished = not any(codes) and len(hosts) == 1 and trial.statuses.get("ok", 0) >= planned
    seen = f"exit {first} with {lacking} of {planned} cells to do, then {codes}; cells {trial.statuses}"
    return lacking > 0 and "torchrun" in advice and finished, f"{seen} on {len(hosts)} set of hosts; {advice}"


LOST = "rank and host named within 30 s, at most one cell died, the rest kept or skipped, exit 1"
TRIALS: dict[str, tuple[str, Callable[[Trial], Seen]]] = {
    "healthy": ("all cells ok, exit 0; clocks right within their errors", healthy),
    "slow host": ("host named as slow (quota 60 %)", slow_host),
    "slow link": ("communication is the reason, 85 to 100 Mbit/s", slow_link),
    "killed host": (LOST, killed_host),
    "link down 40 s": (LOST, link_down),
    "firewall": ("said within 30 s; after a minute the reason and the remedy", firewall),
    "late host": ("20 s late, then all cells ok, exit 0", late_host),
    "refusing rank": ("all end within seconds with its words", refusing),
    "resume": ("SIGTERM on one host leaves cells to do; torchrun joins and finishes: exit 0, same hosts", resumed),
}
HOSTS = {"slow host": (2,), "slow link": (2,), "firewall": (2,)}
"""How many hosts, where not two and four."""


@contextmanager
def _quota(share: float) -> Iterator[tuple[Callable[[int], None], Callable[[], bool]]]:
    """A control group with so much of a core: what puts a process and all below it there, and whether it bit."""
    parent = next(folder for folder in cpu_quota.groups() if (folder / "cgroup.procs").exists())
    folder = parent / f"rankbench-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    members = folder / "cgroup.procs"
    try:
        v2 = (folder / "cpu.max").exists()
        name, text = ("cpu.max", f"{share * 1e5:.0f} 100000") if v2 else ("cpu.cfs_quota_us", f"{share * 1e5:.0f}")
        (folder / name).write_text(text)

        def join(pid: int) -> None:
            joined: set[int] = set()
            while more := ({pid} | below([pid])) - joined:  # what one forked before it was moved
                _move(more, members)
                joined |= more

        def held_back() -> bool:
            return re.search(r"nr_throttled [1-9]", (folder / "cpu.stat").read_text()) is not None

        yield join, held_back
    finally:
        until_s = time.monotonic() + 10
        while (pids := members.read_text().split()) and time.monotonic() < until_s:  # some fork, some are ending
            _move(map(int, pids), parent / "cgroup.procs")
        folder.rmdir()


def _move(pids: Iterable[int], members: Path) -> None:
    for pid in pids:
        with suppress(OSError):  # it has just ended
            members.write_text(str(pid))


def main(names: Sequence[str]) -> int:
    """Try what is named, or everything. Returns how often something else was seen than expected."""
    if why := possible():
        print(why, file=sys.stderr)  # noqa: T201
        return 1
    wrong = 0
    print("| hosts | trial | expected | seen | as expected |\n|---|---|---|---|---|", flush=True)  # noqa: T201
    for name, (expected, trial) in TRIALS.items():
        for count in HOSTS.get(name, (2, 4)):
            if not names or name in names:
                wrong += _row(count, name, expected, partial(_on_hosts, count, trial))
    for name, (expected, attempt) in RAY_TRIALS.items():
        if not names or name in names:
            with tempfile.TemporaryDirectory() as folder:
                wrong += _row(2, name, expected, partial(attempt, Path(folder, "run")))
    return wrong


def _on_hosts(count: int, attempt: Callable[[Trial], Seen]) -> Seen:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, several_nodes(*cores(count)) as nodes:
        return attempt(Trial(nodes, Path(folder, "run"), stack))


def _row(count: int, name: str, expected: str, attempt: Callable[[], Seen]) -> int:
    try:
        well, seen = attempt()
    except (Exception, Failed) as error:  # noqa: BLE001 - the others are tried all the same
        well, seen = False, repr(error)
    seen = " ".join(seen.split()).replace("|", "\\|")
    print(f"| {count} | {name} | {expected} | {seen[:400]} | {'yes' if well else '**no**'} |", flush=True)  # noqa: T201
    return not well


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
