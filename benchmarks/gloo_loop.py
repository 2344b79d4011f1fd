"""What gloo's event loop costs ranks that have one core each, by its scheduling class, beside a busy neighbour too.

    torchrun --nproc-per-node 2 benchmarks/gloo_loop.py [STEPS [perf]]

A step is a product of 256³ and an all-reduce of 1,000 numbers. With ``perf`` Linux's tool of that name counts how often
the loop of rank 0 polls its sockets and how often it reads from one; it slows the step down.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
import torch.distributed as dist

from harness.device import gloo_threads

CLASSES = {"as gloo has it": os.SCHED_OTHER, "SCHED_IDLE": os.SCHED_IDLE, "SCHED_BATCH": os.SCHED_BATCH}
CALLS = "epoll_wait", "recvfrom"


def main(steps: int) -> None:
    """Print a row for each class, on a quiet machine and beside a neighbour on the core of rank 1."""
    rank = int(os.environ["RANK"])
    os.sched_setaffinity(0, {rank})
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for telemetry, neighbour in (("quiet", contextlib.nullcontext()), ("busy neighbour", busy(1, rank))):
        with neighbour:
            for name, policy in CLASSES.items():
                for thread in gloo_threads.threads((gloo_threads.LOOP,)):
                    os.sched_setscheduler(thread, policy, os.sched_param(0))
                with counted(steps) if "perf" in sys.argv and rank == 0 else contextlib.nullcontext():
                    seconds = sorted(taken(steps))
                if rank == 0:
                    median, tail = statistics.median(seconds), seconds[int(0.99 * len(seconds))]
                    print(f"| {telemetry} | {name} | {1e6 * median:.0f} us | {1e6 * tail:.0f} us |")
    dist.destroy_process_group()


def taken(steps: int) -> Iterator[float]:
    """Seconds of each step."""
    a, b, product = torch.randn(256, 256), torch.randn(256, 256), torch.empty(256, 256)
    numbers = torch.zeros(1000)
    dist.all_reduce(numbers)
    for _ in range(steps):
        start_s = time.perf_counter()
        torch.mm(a, b, out=product)
        dist.all_reduce(numbers)
        yield time.perf_counter() - start_s


@contextlib.contextmanager
def counted(steps: int) -> Iterator[None]:
    """Print how often gloo's loop in this process calls the kernel in a step meanwhile."""
    loop = ",".join(map(str, gloo_threads.threads((gloo_threads.LOOP,))))
    line = ["perf", "stat", "-x,", "-e", ",".join(f"syscalls:sys_enter_{call}" for call in CALLS), "-t", loop]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as perf:
        time.sleep(1)  # until it counts
        yield
        perf.send_signal(signal.SIGINT)
        rows = [row.split(",") for row in perf.communicate()[1].splitlines() if "sys_enter" in row]
    print(", ".join(f"{int(row[0]) / steps:.0f} {call} a step" for call, row in zip(CALLS, rows, strict=True)))


@contextlib.contextmanager
def busy(core: int, rank: int) -> Iterator[None]:
    """A process that keeps a core busy, started by the rank that has it."""
    spin = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"]
    process = subprocess.Popen(spin) if rank == core else None
    dist.barrier()
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()
        dist.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
