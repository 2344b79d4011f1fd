"""Signs of a full disk in a scenario's error: each library reports it in a different way."""

import errno
import os
import re
from collections.abc import Iterator

from harness.common.text import words_of

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The numbers of the errors for a disk that takes no more, and for a quota that is reached."""
_WORDS = tuple(map(os.strerror, FULL))
_SHORT_WRITE = re.compile(r"inline_container\.cc.*unexpected pos|PytorchStreamWriter failed writing", re.DOTALL)
"""Words of torch's file writer for a write that came up short: it does not keep the error number."""


def complaint(error: BaseException) -> str | None:
    """One line about a full disk if ``error``, or one of its causes, shows it; else None."""
    for cause in _chain(error):
        if getattr(cause, "errno", None) in FULL or any(words in words_of(cause) for words in _WORDS):
            return f"the disk is full: {type(cause).__name__}: {words_of(cause)}"
    for cause in _chain(error):
        if _SHORT_WRITE.search(words_of(cause)):
            return f"the disk is full or failing: {type(cause).__name__}: {words_of(cause)}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, each once: one may be raised from itself."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
