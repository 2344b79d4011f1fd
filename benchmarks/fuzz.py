"""Damaged and hostile run directories: each is read and reported on, or refused in one line, in time and little memory.

python benchmarks/fuzz.py [SECONDS] [SEED]
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import report_size
from benchmarks.damage import Original
from harness.common.errors import RankbenchError
from harness.journal.log import Journal, sealed
from harness.journal.run_directory import RunDir
from launch.supervision.run_state import Ledger
from reports.page.page import write
from reports.reading.run import load

LIMIT_S = 10
"""For one directory: a hang is told by its seed."""
REPORTED = 10
"""Of so many directories one is also reported on, where it can be read."""
LARGE = 48_000_000
"""Bytes of a file whose reader's memory is measured."""
MORE = 40_000_000
"""Bytes that reading takes beside twice the file: allocators keep some, and a line is taken apart on its own."""


def read(run: RunDir) -> str:
    """What comes of reading a directory for a report, and to go on: ``read``, or the kind of refusal."""
    try:
        evidence = load(run)
        _ = evidence.cells
        ledger = Ledger(evidence.plan)
        Journal(run.journal_path).close()
        for entry in run.entries():
            ledger.note(entry)
        _ = ledger.complete
    except RankbenchError as error:
        return type(error).__name__ if "\n" not in str(error) else f"several lines: {error}"
    return "read"


def report(run: RunDir) -> str:
    """What comes of a report on a directory that can be read."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of numbers that no run has
            write(run)
    except RankbenchError as error:
        return f"no report: {type(error).__name__}" if "\n" not in str(error) else f"several lines: {error}"
    return "reported"


def _late(*_: object) -> None:
    raise TimeoutError(f"it takes more than {LIMIT_S} s")


def fuzz(seconds: float, seed: int) -> Counter[str]:
    """Read damaged directories for so long, and count what came of them."""
    found: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    signal.signal(signal.SIGALRM, _late)
    with tempfile.TemporaryDirectory() as folder:
        original = Original(Path(folder))
        while time.monotonic() < end_s:
            number = seed + found.total()
            root = Path(folder) / str(number)
            run = original.damaged(root, random.Random(number))
            signal.alarm(LIMIT_S)
            try:
                what = read(run)
                found[report(run) if what == "read" and not number % REPORTED else what] += 1
            except BaseException:
                print(f"seed {number}", file=sys.stderr)
                raise
            finally:
                signal.alarm(0)
            for path in root.iterdir():
                path.unlink()
            root.rmdir()
    return found


def large() -> dict[str, Callable[[], Iterator[bytes]]]:
    """Journals of many bytes, by what they are made of."""
    head = b'{"type":"cell","launch":0,"comparison":0,"case":"%d","status":"ok","samples":{'
    shape = b'"round":[%b],"position":[%b],"start_s":[[%b]],"end_s":[[%b]]}}'

    def cells(number: bytes) -> Iterator[bytes]:
        values = b",".join([number] * 20_000)
        while True:
            yield sealed(
                head % time.monotonic_ns()
                + shape % (b",".join([b"0"] * 20_000), values.replace(b".", b""), values, values)
            )

    def endless(line: bytes) -> Iterator[bytes]:
        while True:
            yield line

    return {
        "samples": lambda: cells(b"123.456789"),
        "one line": lambda: endless(b"[" * 1_000_000),
        "strings": lambda: endless(sealed(b'{"type":"begin","case":"%b"}' % (b"a" * 15_000_000))),
        "a string": lambda: iter([sealed(b'{"type":"begin","case":"%b"}' % (b"a" * LARGE))]),
        "short lines": lambda: endless(sealed(b'{"type":"begin","launch":0,"comparison":0,"case":"a"}')),
        "zeros": lambda: endless(bytes(1_000_000)),
    }


def peak(run: RunDir) -> int:
    """Bytes of memory that reading a directory takes at most, in a process of its own."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = current()
        read(run)
        os.write(send, str(current(peak=True) - before).encode())
        os._exit(0)
    os.close(send)
    told = os.read(receive, 100)
    os.close(receive)
    os.waitpid(child, 0)
    return int(told)


def current(*, peak: bool = False) -> int:
    """Bytes of this process in memory, now or at its peak."""
    name = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def memory() -> Iterator[tuple[str, int, int]]:
    """What each large journal is made of, its bytes, and the memory that reading it takes."""
    for name, made in large().items():
        with tempfile.TemporaryDirectory() as folder:
            run = RunDir(Path(folder) / "run")
            run.create(report_size.plan(1, 2))
            with run.journal_path.open("wb") as journal:
                for line in made():
                    journal.write(line)
                    if journal.tell() >= LARGE:
                        break
            yield name, run.journal_path.stat().st_size, peak(run)


def main(seconds: float, seed: int) -> None:
    for name, size, took in memory():
        print(f"{name}: {size / 1e6:.0f} MB, and {took / 1e6:.0f} MB of memory to read it")
        assert took <= 2 * size + MORE, name
    found = fuzz(seconds, seed)
    print(
        f"{found.total()} damaged directories from seed {seed}: "
        + ", ".join(f"{n} {w}" for w, n in found.most_common())
    )
    assert found.keys() <= {"read", "reported", "JournalError", "no report: JournalError"}, found


if __name__ == "__main__":
    asked = [float(each) for each in sys.argv[1:]]
    main(*(asked[:1] or [30.0]), int([*asked, 0, 0][1]))
