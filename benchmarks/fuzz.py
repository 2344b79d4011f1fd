"""Damaged and hostile run directories: each is read and reported on, or refused in one line, in time and little memory.

python benchmarks/fuzz.py [SECONDS] [SEED]
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from benchmarks import report_size
from harness.errors import RankbenchError
from harness.lines import Journal, sealed, texts
from harness.rundir import RunDir
from launch.ledger import Ledger
from reports.evidence import load
from reports.page import write

LIMIT_S = 10
"""For one directory: a hang is told by its seed."""
REPORTED = 10
"""Of so many directories one is also reported on, where it can be read."""
LARGE = 48_000_000
"""Bytes of a file whose reader's memory is measured."""
MORE = 40_000_000
"""Bytes that reading takes beside twice the file: allocators keep some, and a line is taken apart on its own."""
NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 1 << 40, 10**400, 1e308, 0.5, "", "x" * 5000, "\x1b[2J", "\ud800", [], {}, [[]], {"a": [1]}),
    *("../../etc/passwd", "<script>", 2**63, -(2**63), [None], "NaN", ["a"] * 50),
)
BYTES = (
    b"NaN",
    b"1e999",
    b"-",
    b"[" * 300,
    b'{"a":' * 300,
    b'"',
    b"\\u0000",
    b"\0",
    b"\n",
    b"\xff",
    b"9" * 5000,
    b"\\",
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled, or put in."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        first = chance.randrange(len(made) + 1)
        last = min(len(made), first + chance.choice((0, 1, 7, 200, 20_000)))
        made[first:last] = chance.choice(
            (b"", made[first:last] * 2, chance.choice(BYTES), chance.randbytes(last - first))
        )
    return bytes(made)


def places(told: Any) -> Iterator[tuple[Any, Any]]:
    """Every container inside ``told`` with each of its keys."""
    for key, value in told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ():
        yield told, key
        yield from places(value)


def near(value: Any, chance: random.Random) -> Any:
    """Something of the same kind, so that what reads it believes it."""
    if isinstance(value, list) and value:
        return chance.choice((value[:-1], [*value, value[-1]], value[:1], value[::-1]))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return chance.choice((-value, value + 1, value * 1000, type(value)(0)))
    return chance.choice(NASTY)


def warped(text: bytes, chance: random.Random) -> bytes:
    """A JSON text in which a value or two is another, gone, or under another name."""
    told = json.loads(text)
    for _ in range(chance.choice((1, 1, 2))):
        holder, key = chance.choice(list(places(told)) or [(None, None)])
        if isinstance(holder, dict) and chance.random() < 0.3:
            value = holder.pop(key)
            holder.update({chance.choice(("other", "crc32", key + "x")): value} if chance.random() < 0.5 else {})
        elif holder is not None:
            holder[key] = near(holder[key], chance) if chance.random() < 0.5 else deepcopy(chance.choice(NASTY))
    return json.dumps(told).encode()


class Original:
    """A small run that is well, and its damaged copies."""

    def __init__(self, folder: Path) -> None:
        run = RunDir(folder / "original")
        report_size.write(run, 1, report_size.plan(1, 2))
        with run.journal_path.open("rb") as file:
            self.records = [text for _, text in texts(file, run.journal_path)]
        self.plan, self.journal = run.plan_path.read_bytes(), run.journal_path.read_bytes()
        self.environment = json.dumps({"host": {"cores": 2}, "devices": [{"name": "cpu:0"}], "software": {}}).encode()

    def damaged(self, root: Path, chance: random.Random) -> RunDir:
        """A run directory of which one file is not as it was."""
        run = RunDir(root)
        root.mkdir()
        files = {run.plan_path: self.plan, run.journal_path: self.journal, run.environment_path: self.environment}
        which = chance.choice((run.plan_path, run.journal_path, run.journal_path, run.environment_path))
        way: Callable[[bytes, random.Random], bytes] = chance.choice((mutated, warped))
        if which == run.journal_path and chance.random() < 0.8:  # the checksum is right: what is behind it is asked
            made = list(self.records)
            place = chance.randrange(len(made))
            made[place] = way(made[place], chance)
            files[which] = b"".join(map(sealed, made))
        else:
            files[which] = mutated(files[which], chance) if which == run.journal_path else way(files[which], chance)
        for path, content in files.items():
            path.write_bytes(content)
        return run


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
