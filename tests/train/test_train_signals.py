"""The first signal asks, the second acts, and afterwards everything is as before."""

import os
import signal
import threading
import time

import pytest

from strop.errors import Interrupted, Terminated
from strop.train import signals
from strop.train.signals import stop_on_signal, terminating_like_ctrl_c


@pytest.fixture(autouse=True)
def ctrl_c_raises():
    """A shell starts background jobs with SIGINT ignored; these tests are about Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # Python runs the handler between two instructions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_only_asks(number):
    """The block goes on, and knows which signal it was."""
    with stop_on_signal() as stop:
        assert not stop
        send(number)
        assert stop and stop.signal == number


def test_the_second_stops_at_once():
    """After the first, Ctrl-C is Python's own again."""
    with stop_on_signal() as stop:
        send(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert stop


def test_handlers_come_back():
    """Whatever was set before is set after, also when the block raised."""

    def mine(number, frame):
        raise AssertionError("not while the block runs")

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(ZeroDivisionError), stop_on_signal() as stop:
            send(signal.SIGTERM)
            assert stop
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_it_does_nothing():
    """Only the main thread may set handlers; training in a thread just has none."""
    found = []

    def work():
        with stop_on_signal() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_an_update_that_takes_too_long_is_left(monkeypatch):
    """What can't stop by itself within the grace is ended by force, with the signal's exit code."""
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.05)
    with pytest.raises(Interrupted, match="inside a long update") as stopped, stop_on_signal():
        send(signal.SIGTERM)
        time.sleep(5)
    assert stopped.value.code == 143
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_sigterm_unwinds_elsewhere():
    """Outside of a training loop SIGTERM runs what `finally` is there for, as Ctrl-C does."""
    cleaned = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminating_like_ctrl_c():
        try:
            send(signal.SIGTERM)
        finally:
            cleaned.append(True)
    assert cleaned and signal.getsignal(signal.SIGTERM) is before
