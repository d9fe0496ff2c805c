"""What the stack knows of a thread of the program: blocking calls and callbacks it is in, routines queued to it.

May not know: sockets; what the calls do.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Self

from multipoint import constants
from multipoint.errors import error
from multipoint.signals import announce

Routine = Callable[[], None]


class Wait:
    """A blocking call of this thread, while the ``with`` lasts; ``wake`` lets it look again, as at ``is_cancelled``."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.is_cancelled = False
        self.thread = current()

    def __enter__(self) -> Self:
        self.thread.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.end(self)

    def check(self) -> None:
        """Raise WSAEINTR if somebody has cancelled the call (DI-07)."""
        if self.is_cancelled:
            raise error(constants.WSAEINTR, "the blocking call was cancelled")


class ProgramThread:
    """One thread. Completion routines run here only, while it waits alertably (DP-36)."""

    def __init__(self) -> None:
        self._waits: list[Wait] = []
        self._callbacks = 0
        self._routines: deque[Routine] = deque()

    @property
    def is_blocking(self) -> bool:
        """Tell whether it is in a blocking call: a routine or another callback asks."""
        return bool(self._waits)

    @property
    def is_busy(self) -> bool:
        """Tell whether it is in a blocking call or a callback (DI-08)."""
        return bool(self._waits) or self._callbacks > 0

    @property
    def is_alerted(self) -> bool:
        """Tell whether routines are queued."""
        return bool(self._routines)

    def check_may_block(self) -> None:
        """Raise WSAEINPROGRESS inside a routine that has interrupted a blocking call (JL-74, D-66)."""
        if self._waits:
            raise error(constants.WSAEINPROGRESS, "the thread is in a blocking call already")

    def begin(self, wait: Wait) -> None:
        """Note that the thread blocks."""
        self.check_may_block()
        self._waits.append(wait)
        with _guard:
            _blocked.add(wait)

    def end(self, wait: Wait) -> None:
        """Note that it goes on."""
        self._waits.remove(wait)
        with _guard:
            _blocked.discard(wait)

    @contextlib.contextmanager
    def in_callback(self) -> Iterator[None]:
        """Note that a callback of the program runs."""
        self._callbacks += 1
        try:
            yield
        finally:
            self._callbacks -= 1

    def post(self, routine: Routine) -> None:
        """Queue a routine, and wake the thread if it waits; called from any thread."""
        self._routines.append(routine)
        announce()
        for wait in list(self._waits):
            wait.wake()

    def run_routines(self) -> None:
        """Run what is queued by now; the thread itself calls."""
        for _ in range(len(self._routines)):
            with self.in_callback():
                self._routines.popleft()()


_local = threading.local()
_guard = threading.Lock()
_blocked: set[Wait] = set()


def _after_fork() -> None:
    """The other threads are not here, and the lock may have been theirs."""
    global _guard
    _guard = threading.Lock()
    _blocked.clear()


os.register_at_fork(after_in_child=_after_fork)


def current() -> ProgramThread:
    """Return the calling thread."""
    thread: ProgramThread | None = getattr(_local, "thread", None)
    if thread is None:
        thread = _local.thread = ProgramThread()
    return thread


def cancel() -> int:
    """Cancel the blocking call that the calling thread is in, else those of all threads; return how many (DI-07)."""
    own = current()._waits
    with _guard:
        waits = [wait for wait in _blocked if not own or wait in own]
    for wait in waits:
        wait.is_cancelled = True
        wait.wake()
    return len(waits)
