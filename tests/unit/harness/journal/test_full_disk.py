"""What a full disk looks like, as each library really tells it: /dev/full takes no byte."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.common.text import LONGEST_WORDS, first_line, words_of
from harness.journal.full_disk import complaint


def save_to_open_file(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        torch.save(torch.zeros(1000), file)


def save_to_path(path: Path) -> None:
    torch.save(torch.zeros(1000), path)


def write(path: Path) -> None:
    path.write_bytes(b"a byte")


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (write, "the disk is full: OSError: [Errno 28] No space left on device"),
        (save_to_open_file, "the disk is full: OSError: [Errno 28] No space left on device"),
        (save_to_path, "the disk is full or failing: RuntimeError: "),  # torch's own writer forgets why
    ],
)
def test_a_full_disk_is_told_from_other_errors(save: Callable[[Path], None], told: str) -> None:
    with pytest.raises((OSError, RuntimeError)) as raised:
        save(Path("/dev/full"))
    assert (complaint(raised.value) or "").startswith(told)


def test_a_quota_is_a_full_disk_too() -> None:
    quota = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    assert complaint(quota) == "the disk is full: OSError: [Errno 122] Disk quota exceeded"


def test_other_errors_say_nothing_of_the_disk(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"PK\3\4 no archive")
    with pytest.raises(RuntimeError) as unreadable:
        torch.load(broken, weights_only=True)
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "missing").read_bytes()
    assert complaint(unreadable.value) is None
    assert complaint(missing.value) is None
    assert complaint(ValueError("the twelfth step")) is None


def test_the_cause_of_a_cause_counts() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        try:
            raise full
        except OSError as error:
            raise ValueError("one") from error
    except ValueError as error:
        outer = RuntimeError("two")
        outer.__context__ = error
    assert complaint(outer) == "the disk is full: OSError: [Errno 28] No space left on device"


def test_an_error_that_was_raised_from_itself_is_looked_at_once() -> None:
    error = ValueError("again")
    error.__cause__ = other = RuntimeError("round")
    other.__context__ = error
    assert complaint(error) is None
    error.__cause__ = error
    assert complaint(error) is None


class MuteError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def test_an_exception_whose_words_end_the_process_is_none_of_ours_to_end() -> None:
    assert words_of(MuteError()) == "it cannot be put into words"
    assert first_line(ValueError("")) == "ValueError"
    assert first_line(ValueError("one\ntwo")) == "one"
    assert complaint(MuteError()) is None


def test_of_an_exception_that_prints_a_whole_tensor_the_beginning_is_looked_at() -> None:
    endless = OSError("No space left on device " + "0." * 10_000_000)
    assert (complaint(endless) or "").startswith("the disk is full: OSError: No space left on device 0.0.")
    assert len(words_of(endless)) == LONGEST_WORDS
