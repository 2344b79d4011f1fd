"""Trials of Ray on a cluster of two hosts: two runs at once, and drivers on a host that is none of its nodes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.common.packages import HOME
from harness.journal.run_directory import RunDir
from tests.distributed.conftest import RANKBENCH, SMALL, wait_until
from tests.distributed.namespaces import Node, several_nodes
from tests.distributed.test_ray_nodes import PORT, SECRET, Cluster, started
from tests.faults.hosts_run import Job, Seen, Trial, cores

RAY_RUN = (
    *SMALL[4:], "--launcher", "ray", "--devices", "cpu:2", "--placement", "strict-spread", "--launches", 2,
    "--budget", 30,
)  # fmt: skip


def two_ray_runs(root: Path) -> Seen:
    with started() as cluster, ExitStack() as stack:
        jobs = []
        for name in ("a", "b"):
            words = ("run", "split", *RAY_RUN, "--out", root / name)
            jobs.append(Job([stack.enter_context(cluster.rankbench(cluster.head, *words))]))
            if name == "a":
                wait_until((root / "a" / "journal.jsonl").exists, jobs[0].processes[0])
        told_s = jobs[1].heard("wait", limit_s=90)
        codes = [job.ended()[0] for job in jobs]
        said = next((line for _, line in jobs[1].said[0] if "wait" in line), jobs[1].words()[-300:])
    return codes == [0, 0], f"exit {codes}; the second after {told_s} s: {said}"


@contextmanager
def _ray_cluster_and_laptop() -> Iterator[tuple[Cluster, Node]]:
    """A cluster of two hosts with a server for clients and one for jobs, and a host that is none of its nodes."""
    (first,), (second,) = cores(2)
    with several_nodes((first, second), (second,), (first,)) as (head, other, laptop):
        cluster = Cluster(head, other)
        cluster.ray(head, "--head", f"--port={PORT}", "--dashboard-host=0.0.0.0")
        cluster.ray(other, f"--address={cluster.address}")
        yield cluster, laptop


def ray_client(root: Path) -> Seen:
    """A driver on a laptop, whose run directory no other host sees."""
    out = "/dev/shm/run"
    with _ray_cluster_and_laptop() as (cluster, laptop), ExitStack() as stack:
        address = f"ray://{cluster.head.address}:10001"
        line = ("run", "split", *RAY_RUN, "--ray-address", address, "--out", out)
        job = Job([stack.enter_context(laptop.start(*RANKBENCH, *line, env=SECRET))])
        codes = job.ended()
        return _ray_ran(laptop.path(out), codes, job, cluster)


def ray_job(root: Path) -> Seen:
    """A job that a laptop submits, with the code."""
    with _ray_cluster_and_laptop() as (cluster, laptop), ExitStack() as stack:
        line = ("submit", "--address", f"http://{cluster.head.address}:8265", "--working-dir", HOME, "--")
        rankbench = (sys.executable, "-m", "harness", "run", "split", *RAY_RUN, "--out", root)
        ray = (sys.executable, "-m", "ray.scripts.scripts", "job", *line, *rankbench)
        job = Job([stack.enter_context(laptop.start(*ray, env=SECRET))])
        codes = job.ended()
        return _ray_ran(root, codes, job, cluster)


def _ray_ran(root: Path, codes: list[int], job: Job, cluster: Cluster) -> Seen:
    """Whether a run on both hosts of a cluster is whole, and says so of the ranks' host."""
    if codes != [0] or not RunDir(root).exists():
        return False, f"exit {codes}: {job.words()[-300:]}"
    with ExitStack() as stack:
        trial = Trial((), root, stack)
        hosts = {tuple(rank.host for rank in launch.ranks) for launch in trial.launches}
        told = trial.summary["environment"]["host"]["name"]
        well = set(trial.statuses) == {"ok"} and hosts == {(cluster.head.name, cluster.other.name)}
        both = ", ".join(next(iter(hosts)))
        return well and told == cluster.head.name, f"exit {codes}, cells {trial.statuses} on {both}; host {told}"


RAY_TRIALS: dict[str, tuple[str, Callable[[Path], Seen]]] = {
    "two Ray runs": ("the second waits aloud; both exit 0", two_ray_runs),
    "ray://": ("all cells ok on both hosts, exit 0", ray_client),
    "ray job submit": ("all cells ok on both hosts, exit 0", ray_job),
}
"""The last two need `pip install 'ray[default,client]'`."""
