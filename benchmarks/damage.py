"""Run directories of which one file is not as it was: bytes changed or put in, values replaced, names exchanged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from benchmarks import report_size
from harness.journal.log import sealed, texts
from harness.journal.run_directory import RunDir

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
