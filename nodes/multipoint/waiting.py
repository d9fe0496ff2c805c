"""Blocking calls of a socket: waiting for its state, or for the kernel, until there is an answer.

May not know: what is waited for.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from multipoint import constants
from multipoint.errors import MultipointError, error, from_kernel
from multipoint.reactor import new_waker
from multipoint.threads import Wait

if TYPE_CHECKING:
    from multipoint.stack import Stack

T = TypeVar("T")

LONGEST_POLL_MS = (1 << 31) - 1


class WaitingSocket:
    """Something that calls may block on, under the stack's lock."""

    def __init__(self, stack: "Stack") -> None:
        self.stack = stack
        self.is_closed = False
        # Notified at each change that a blocking call may wait for.
        self.changed = threading.Condition(stack.lock)
        # The descriptors that wake those who wait for the kernel too.
        self._waiters: set[int] = set()

    def check_open(self) -> None:
        """Raise WSAENOTSOCK if the socket is closed."""
        if self.is_closed:
            self.stack.check_own()
            raise error(constants.WSAENOTSOCK, "the socket is closed")

    def closed_elsewhere(self) -> MultipointError:
        """Return the error of a call whose socket another thread has closed (CL-25, DI-12)."""
        if self.stack.is_lost:
            return error(constants.WSANOTINITIALISED, "the process has forked during the call")
        return error(self.stack.dialect.closed_elsewhere, "the socket was closed during the call")

    def wake(self) -> None:
        """Let every blocking call on this socket look again."""
        self.changed.notify_all()
        self.stack.reactor.nudge(self)
        for waker in self._waiters:
            os.eventfd_write(waker, 1)

    def wake_from_outside(self) -> None:
        """Do that without holding the lock."""
        with self.stack.lock:
            self.wake()

    def wait_until(
        self, question: Callable[[], T | None], timeout_s: float | None = None, *, is_alertable: bool = False
    ) -> T | None:
        """Return the answer once there is one; None when the time is over. Raises WSAEINTR if closed (CL-25).

        An alertable wait runs the thread's completion routines and goes on (JL-74).
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if (answer := question()) is not None:
            return answer
        with Wait(self.wake_from_outside) as wait, Pause(self) as pause:
            while (answer := question()) is None:
                wait.check()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                if is_alertable and wait.thread.is_alerted:
                    pause.interrupt(wait.thread.run_routines)
                else:
                    pause.take(left)
                if self.is_closed:
                    raise self.closed_elsewhere()
        return answer

    def wait_for_kernel(
        self, descriptor: int | None, events: int, timeout_s: float | None, is_over: Callable[[], bool]
    ) -> bool:
        """Wait for the kernel's socket or for ``wake``, unless ``is_over`` already; False when the time is over."""
        with Wait(self.wake_from_outside) as wait:
            with self.stack.lock:
                self.check_open()
                if is_over():
                    return True
                wait.check()
                waker = self.add_waker()
            try:
                poll = select.poll()
                poll.register(waker, select.POLLIN)
                if descriptor is not None:
                    poll.register(descriptor, events)
                is_ready = bool(poll.poll(milliseconds(timeout_s)))
                wait.check()
                return is_ready
            finally:
                with self.stack.lock:
                    self._waiters.discard(waker)
                    os.close(waker)

    def add_waker(self, waker: int | None = None) -> int:
        """Have a descriptor written to by ``wake``, a new one if none is given; the lock is held."""
        if waker is None:
            waker = make_waker()
        self._waiters.add(waker)
        return waker

    def forget_waiters(self) -> None:
        """Wake nobody any more: in a forked child those who wait are not here."""
        self.changed = threading.Condition(self.stack.lock)
        self._waiters = set()

    def remove_waker(self, waker: int) -> None:
        """Have it written to no more; the lock is held."""
        self._waiters.discard(waker)


class Pause:
    """How one blocking call waits: it does the stack's work meanwhile, unless somebody else does (``reactor``)."""

    def __init__(self, sock: WaitingSocket) -> None:
        self._sock = sock
        self._reactor = sock.stack.reactor
        self._is_driving = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_driving()

    def take(self, timeout_s: float | None) -> None:
        """Wait for a change of the socket, and no longer than the time."""
        if timeout_s is not None:
            # A turn would count in milliseconds, which is too coarse for a shaped flow.
            self._stop_driving()
            self._sock.changed.wait(timeout_s)
        elif self._is_driving or self._reactor.take_over(self._sock):
            self._is_driving = True
            self._reactor.turn()
        else:
            self._sock.changed.wait()

    def interrupt(self, routine: Callable[[], None]) -> None:
        """Run the program's code without the lock, which the call that waits has taken once."""
        self._stop_driving()
        self._sock.stack.lock.release()
        try:
            routine()
        finally:
            self._sock.stack.lock.acquire()

    def _stop_driving(self) -> None:
        if self._is_driving:
            self._is_driving = False
            self._reactor.give_back()


def milliseconds(timeout_s: float | None) -> float | None:
    """Return a time as ``poll`` takes it; one that is longer than it can count is three weeks."""
    return None if timeout_s is None else min(timeout_s * 1000, LONGEST_POLL_MS)


def make_waker() -> int:
    """Return a descriptor that wakes who polls it, or raise the WSA error of there being none left."""
    try:
        return new_waker()
    except OSError as reason:
        raise error(from_kernel(reason.errno), str(reason)) from reason
