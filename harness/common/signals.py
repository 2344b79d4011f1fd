"""Signals that ask for an end: Ctrl-C, a scheduler's SIGTERM, and the SIGHUP of a terminal that is gone."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[signal.Signals], None]

_handlers: list[Handler] = []
"""The last one is called."""
_original: dict[signal.Signals, Any] = {}
"""The handler that each signal had before the first of ours."""
_hung_up: list[signal.Signals] = []


def name_of(number: signal.Signals) -> str:
    """The usual name of a signal."""
    return "Ctrl-C" if number is signal.SIGINT else number.name


def die(number: signal.Signals) -> None:
    """End this process by a signal, immediately."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def handle(handler: Handler) -> None:
    """Have ``handler`` called for each of the signals from now on, in this process and in no fork of it.

    A SIGTERM or SIGHUP that was ignored stays so, as under ``nohup``; shells ignore SIGINT for all that runs in the
    background. Only the main thread can call this.
    """
    if not _handlers:
        _original.update({number: signal.getsignal(number) for number in SIGNALS if _heard(number)})
    _handlers.append(handler)
    _install()


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """The same within a block. Does nothing outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handle(handler)
    try:
        yield
    finally:
        if _handlers:  # none in a fork
            _handlers.pop()
        if _handlers:
            _install()
        else:
            _restore()


def _heard(number: signal.Signals) -> bool:
    return number is signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN


def _install() -> None:
    """Install the handlers, also over those that a library has installed."""
    for number in _original:
        signal.signal(number, _dispatch)


def _dispatch(number: int, frame: FrameType | None) -> None:
    del frame
    came = signal.Signals(number)
    if came is signal.SIGHUP:  # the kernel and the shell both send one when a terminal is gone
        if _hung_up:
            return
        _hung_up.append(came)
    _handlers[-1](came)


def _restore() -> None:
    for number, before in _original.items():
        signal.signal(number, before)
    _original.clear()
    _handlers.clear()
    _hung_up.clear()


def _hold() -> None:
    """Block signals during a fork: the parent gets them afterwards."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _original)


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _original)


def _forget() -> None:
    held = tuple(_original)
    _restore()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)
