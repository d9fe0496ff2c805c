"""The one thread of a started stack: it watches descriptors and the clock for all sockets of the stack.

Everything that is not the program's own call happens here, under the stack's lock: control connections are read and
written, listeners taken, timers run, data sockets watched while an event registration asks for it. The thread starts
when it is first needed, and is woken only for what the kernel would not tell it: an earlier timer, and the end.

May not know: sockets of the stack, the protocol.
"""

import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT

Handler = Callable[[int], None]

log = logging.getLogger(__name__)


@dataclass(order=True)
class Timer:
    """A call at a time; ``cancel`` takes it back."""

    when: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Don't call; the place in the heap is given up when its time comes."""
        self.callback = None


class Reactor:
    """A thread, an epoll and a heap of timers. Every method may be called from any thread that holds ``lock``."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._epoll = select.epoll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._waker, READABLE)
        self._handlers: dict[int, Handler] = {}
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._sleeps_until = 0.0
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call ``handler(events)`` when ``descriptor`` is ready; a second call changes the events and the handler."""
        if descriptor in self._handlers:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler
        self._start()

    def unwatch(self, descriptor: int) -> None:
        """Forget ``descriptor``, if it was watched; call this before it is closed."""
        if self._handlers.pop(descriptor, None):
            self._epoll.unregister(descriptor)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` when the monotonic clock shows ``when``."""
        timer = Timer(when, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        self._start()
        if when < self._sleeps_until:
            os.eventfd_write(self._waker, 1)
        return timer

    def close(self) -> None:
        """End the thread, waiting for it (not from itself). Call this without the lock."""
        self._is_closing = True
        os.eventfd_write(self._waker, 1)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()
        self._epoll.close()
        os.close(self._waker)

    def _start(self) -> None:
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="multipoint", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._is_closing:
            ready = self._epoll.poll(self._patience())
            with self._lock:
                for descriptor, events in ready:
                    self._handle(descriptor, events)
                self._run_timers(time.monotonic())

    def _patience(self) -> float | None:
        with self._lock:
            while self._timers and self._timers[0].callback is None:
                heapq.heappop(self._timers)
            self._sleeps_until = self._timers[0].when if self._timers else float("inf")
        return max(0.0, self._sleeps_until - time.monotonic()) if self._timers else None

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor == self._waker:
            os.eventfd_read(self._waker)
        elif handler := self._handlers.get(descriptor):
            self._guarded(lambda: handler(events))

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0].when <= now:
            callback = heapq.heappop(self._timers).callback
            if callback:
                self._guarded(callback)

    @staticmethod
    def _guarded(callback: Callable[[], None]) -> None:
        """Call it; a fault in one socket's handling must not take all others down with the thread."""
        try:
            callback()
        except Exception:
            log.exception("multipoint: a fault of the stack itself")
