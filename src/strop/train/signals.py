"""Ctrl-C and SIGTERM ask the loop to stop; a second one, or an update that takes too long, stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Interrupted, Terminated

GRACE_SECONDS = 8.0  # of the 10 that schedulers wait before they kill


class StopRequest:
    """Whether, and by which signal, the run was asked to stop."""

    def __init__(self):
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Within the block the first SIGINT or SIGTERM only sets the request.

    Raises:
        Interrupted: the request was not met within `GRACE_SECONDS`.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number, frame):
        request.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def give_up(number, frame):
        raise Interrupted(request.signal, "stopped inside a long update. The same command goes on before it.")

    alarm = signal.signal(signal.SIGALRM, give_up)
    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminating_like_ctrl_c() -> Iterator[None]:
    """SIGTERM unwinds too, so that drafts of files are removed."""

    def stop(number, frame):
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
