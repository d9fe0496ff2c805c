"""The reactor: its thread does the work, or in its place a thread of the program that blocks."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from multipoint.reactor import LONGEST_SLEEP_S, READABLE, Reactor

PATIENCE_S = 5.0
DRIVER, OTHER = object(), object()


class Bell:
    """A watched connection: ``ring`` makes it ready, ``heard`` says in which threads it was noticed."""

    def __init__(self, reactor: Reactor) -> None:
        self.heard: list[str] = []
        self._came = threading.Semaphore(0)
        self._far, self._near = socket.socketpair()
        reactor.watch(self._near.fileno(), READABLE, self._ready)

    def ring(self) -> None:
        self._far.send(b"!")

    def close(self) -> None:
        self._far.close()
        self._near.close()

    def wait(self) -> None:
        assert self._came.acquire(timeout=PATIENCE_S)

    def _ready(self, _: int) -> None:
        self._near.recv(1)
        self.heard.append(threading.current_thread().name)
        self._came.release()


@pytest.fixture
def lock() -> "threading.RLock":
    return threading.RLock()


@pytest.fixture
def reactor(lock: "threading.RLock") -> Iterator[Reactor]:
    reactor = Reactor(lock)
    yield reactor
    reactor.close()


@pytest.fixture
def bell(reactor: Reactor, lock: "threading.RLock") -> Iterator[Bell]:
    with lock:
        bell = Bell(reactor)
    yield bell
    bell.close()


@contextmanager
def running(call: Callable[[], None], name: str) -> Iterator[None]:
    thread = threading.Thread(target=call, name=name, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


@contextmanager
def driving(reactor: Reactor, lock: "threading.RLock") -> Iterator[None]:
    """Somebody drives, from the time he sleeps until he is nudged."""
    asleep, is_over = threading.Event(), False

    def drive() -> None:
        with lock:
            assert reactor.take_over(DRIVER)
            asleep.set()
            while not is_over:
                reactor.turn()
            reactor.give_back()

    with running(drive, "driver"):
        assert asleep.wait(PATIENCE_S)
        yield
        with lock:
            is_over = True
            reactor.nudge(DRIVER)


def test_who_drives_does_the_work_until_he_gives_it_back(reactor: Reactor, lock: "threading.RLock", bell: Bell) -> None:
    for by in ("multipoint", "driver", "multipoint"):
        if by == "driver":
            with driving(reactor, lock):
                bell.ring()
                bell.wait()
        else:
            bell.ring()
            bell.wait()
    assert bell.heard == ["multipoint", "driver", "multipoint"]


def test_thread_sleeps_while_somebody_drives(reactor: Reactor, lock: "threading.RLock", bell: Bell) -> None:
    with driving(reactor, lock):
        before = switches_of("multipoint")
        for _ in range(50):
            bell.ring()
            bell.wait()
        # It may still have been on its way to sleep, and looks at its timers now and then; but nobody wakes it.
        assert switches_of("multipoint") - before < 25
    assert set(bell.heard) == {"driver"}


def switches_of(name: str) -> int:
    """Return how often a thread of this process has slept."""
    thread = next(thread for thread in threading.enumerate() if thread.name == name)
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary"))


def test_what_has_come_by_the_end_is_left_to_the_thread(reactor: Reactor, lock: "threading.RLock", bell: Bell) -> None:
    with lock:
        assert reactor.take_over(DRIVER)
        bell.ring()
        reactor.give_back()
    bell.wait()
    assert bell.heard == ["multipoint"]


def test_one_drives_at_a_time(reactor: Reactor, lock: "threading.RLock") -> None:
    with lock:
        assert reactor.take_over(DRIVER)
        assert not reactor.take_over(OTHER)
        reactor.give_back()
        assert reactor.take_over(OTHER)
        reactor.give_back()


def test_nudge_is_for_the_driver_only(reactor: Reactor, lock: "threading.RLock") -> None:
    with driving(reactor, lock), lock:
        reactor.nudge(OTHER)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(reactor._nudger)


def test_timers_run_while_somebody_drives(reactor: Reactor, lock: "threading.RLock") -> None:
    rung = threading.Event()
    with driving(reactor, lock):
        with lock:
            reactor.call_at(time.monotonic() + 0.01, rung.set)
        assert rung.wait(PATIENCE_S)


def test_near_timer_wakes_the_thread_and_a_far_one_does_not(reactor: Reactor, lock: "threading.RLock") -> None:
    rung = threading.Event()
    with lock:
        reactor.call_at(time.monotonic() + 2 * LONGEST_SLEEP_S, lambda: None)
    while reactor._sleeps_until <= time.monotonic():
        os.sched_yield()
    with lock:
        reactor.call_at(time.monotonic() + 1.5 * LONGEST_SLEEP_S, lambda: None)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(reactor._waker)
        reactor.call_at(time.monotonic() + 0.01, rung.set)
    assert rung.wait(LONGEST_SLEEP_S / 2)


def test_end_while_somebody_drives(lock: "threading.RLock") -> None:
    reactor = Reactor(lock)
    with driving(reactor, lock):
        reactor.close()
        with lock:
            assert not reactor.take_over(OTHER)
    assert reactor._watched.closed


def test_end_while_the_driver_gives_back(lock: "threading.RLock") -> None:
    for _ in range(200):
        reactor = Reactor(lock)
        with lock:
            reactor.call_at(time.monotonic() + LONGEST_SLEEP_S, lambda: None)
            assert reactor.take_over(OTHER)
        giving = threading.Thread(target=partial(give_back, reactor, lock))
        giving.start()
        # Who comes last closes the descriptors, and nobody does it twice: their numbers may be somebody else's by then.
        reactor.close()
        giving.join(PATIENCE_S)
        assert reactor._watched.closed


def give_back(reactor: Reactor, lock: "threading.RLock") -> None:
    with lock:
        reactor.give_back()
