"""The one thread of a started stack: it watches descriptors and the clock for all sockets of the stack.

Everything that is not the program's own call happens here, under the stack's lock: control connections are read and
written, listeners taken, timers run, data sockets watched while an event registration asks for it. The thread starts
when it is first needed, and is woken only for what the kernel would not tell it: an earlier timer, and the end.

A thread of the program that blocks can do the work meanwhile, timers aside: what it waits for comes to it at once, not
by way of a second thread, which costs more than the rest of a join. For that the thread does not wait for the
descriptors themselves but for the epoll that watches them, which can be shut off without waking it.

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
from typing import ParamSpec

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT

NEVER = float("inf")
# The thread looks at the timers so often, that those further off need not wake it: a join sets two, and takes one back.
LONGEST_SLEEP_S = 3.0

Handler = Callable[[int], None]
P = ParamSpec("P")

log = logging.getLogger(__name__)


class Timer:
    """A call at a time; ``cancel`` takes it back."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Don't call; the place in the heap is given up when its time comes."""
        self.callback = None


class Reactor:
    """A thread, an epoll and a heap of timers. Every method may be called from any thread that holds ``lock``."""

    def __init__(self, lock: "threading.RLock") -> None:
        self._lock = lock
        self._watched = select.epoll()
        # What the thread waits for: its waker, and what is watched as long as nobody else does the work.
        self._gate = select.epoll()
        self._gate.register(self._watched, READABLE)
        self._waker = new_waker()
        self._gate.register(self._waker, READABLE)
        try:
            self._nudger = new_waker()
        except OSError:
            # It is a mere number, which nobody else closes.
            os.close(self._waker)
            raise
        self._watched.register(self._nudger, READABLE)
        self._handlers: dict[int, tuple[int, Handler]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._sleeps_until = 0.0
        # Who does the thread's work meanwhile.
        self._driver: object | None = None
        self._is_driver_asleep = False
        self._is_closing = False
        # The thread is gone, and descriptors may go.
        self._has_ended = False
        self._thread: threading.Thread | None = None

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call ``handler(events)`` when ``descriptor`` is ready; a second call changes the events and the handler."""
        before = self._handlers.get(descriptor)
        if before is None:
            self._watched.register(descriptor, events)
        elif before[0] != events:
            self._watched.modify(descriptor, events)
        self._handlers[descriptor] = events, handler
        self._start()

    def unwatch(self, descriptor: int) -> None:
        """Forget ``descriptor``, if it was watched; call this before it is closed."""
        if self._handlers.pop(descriptor, None):
            self._watched.unregister(descriptor)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` when the monotonic clock shows ``when``."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        self._start()
        if when < self._sleeps_until:
            os.eventfd_write(self._waker, 1)
        return timer

    # Doing the work in place of the thread

    def take_over(self, driver: object) -> bool:
        """Tell whether the caller may do the work from now on, by ``turn``; False: somebody else does it."""
        if self._driver is not None or self._is_closing:
            return False
        self._driver = driver
        self._gate.modify(self._watched, 0)
        return True

    def turn(self) -> None:
        """Wait, without the lock, until something is ready or the driver is nudged, and do what is to be done."""
        self._is_driver_asleep = True
        self._lock.release()
        try:
            ready = self._watched.poll()
        finally:
            self._lock.acquire()
            self._is_driver_asleep = False
        self._handle(ready)

    def nudge(self, driver: object) -> None:
        """End the turn in which ``driver`` waits, if it does."""
        if self._driver is driver and self._is_driver_asleep:
            os.eventfd_write(self._nudger, 1)

    def give_back(self) -> None:
        """Leave the work to the thread again."""
        self._driver = None
        if self._has_ended:
            self._close()
        else:
            self._gate.modify(self._watched, READABLE)

    def close(self) -> None:
        """End the thread, waiting for it (not from itself). Call this without the lock."""
        with self._lock:
            self._is_closing = True
            os.eventfd_write(self._waker, 1)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            self._has_ended = True
            # Else who drives does it after his last turn.
            if self._driver is None:
                self._close()

    def _close(self) -> None:
        self._gate.close()
        self._watched.close()
        os.close(self._waker)
        os.close(self._nudger)

    def _start(self) -> None:
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="multipoint", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        patience: float | None = 0.0
        while not self._is_closing:
            ready = [descriptor for descriptor, _ in self._gate.poll(patience)]
            with self._lock:
                # While it is awake nobody need wake it.
                self._sleeps_until = 0.0
                if self._waker in ready:
                    os.eventfd_read(self._waker)
                if ready and self._driver is None:
                    self._handle(self._watched.poll(0))
                self._run_timers(time.monotonic())
                patience = self._patience()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        now = time.monotonic()
        self._sleeps_until = min(self._timers[0][0] if self._timers else NEVER, now + LONGEST_SLEEP_S)
        return max(0.0, self._sleeps_until - now)

    def _handle(self, ready: list[tuple[int, int]]) -> None:
        for descriptor, events in ready:
            if descriptor == self._nudger:
                os.eventfd_read(self._nudger)
            elif watch := self._handlers.get(descriptor):
                self._guarded(watch[1], events)

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback:
                self._guarded(callback)

    @staticmethod
    def _guarded(callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call it; a fault in one socket's handling must not take all others down with the thread."""
        try:
            callback(*args, **kwargs)
        except Exception:
            log.exception("multipoint: a fault of the stack itself")


def new_waker() -> int:
    """Return a descriptor that wakes who polls it. Raises OSError."""
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
