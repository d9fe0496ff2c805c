"""Overlapped operations as programs see them: a WSAOVERLAPPED, its event object, its completion routine (DP-36).

May not know: sockets; what is done.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from multipoint import constants, threads
from multipoint.errors import MultipointError
from multipoint.signals import Signal, announce, wait_for


@dataclass(eq=False)
class WSAOVERLAPPED:
    """What C programs pass a pointer to; ``hEvent`` is the program's, all else the stack's."""

    hEvent: int | None = None
    # The operation's code: WSA_IO_PENDING until it has finished.
    Internal: int = 0
    # How many bytes it has moved.
    InternalHigh: int = 0
    Flags: int = 0

    @property
    def is_pending(self) -> bool:
        """Tell whether it has not finished yet."""
        return self.Internal == constants.WSA_IO_PENDING


# lpCompletionRoutine(dwError, cbTransferred, lpOverlapped, dwFlags)
CompletionRoutine: TypeAlias = Callable[[int, int, WSAOVERLAPPED, int], None]


class Operation:
    """One operation, from the call to its end; the routine runs in the thread that called, while it waits alertably."""

    def __init__(
        self,
        overlapped: WSAOVERLAPPED,
        signal: Signal | None,
        routine: CompletionRoutine | None,
        is_told: Callable[[], bool],
    ) -> None:
        """``is_told``: whether the event object and the routine may tell of the end."""
        self._overlapped = overlapped
        self._is_told = is_told
        self._signal = signal
        self._routine = routine
        self._thread = threads.current()
        overlapped.Internal, overlapped.InternalHigh, overlapped.Flags = constants.WSA_IO_PENDING, 0, 0
        if signal:
            signal.reset()

    def finish(self, code: int, count: int = 0) -> None:
        """Note the outcome, and tell of it: by the routine if there is one, else by the event object."""
        self._overlapped.InternalHigh, self._overlapped.Internal = count, code
        if self._is_told():
            self._tell(code, count)
        announce()

    def _tell(self, code: int, count: int) -> None:
        overlapped, routine = self._overlapped, self._routine
        if routine:
            self._thread.post(lambda: routine(code, count, overlapped, overlapped.Flags))
        elif self._signal:
            self._signal.set()

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Note a failure of the call itself: its result tells of it, and nothing else does."""
        try:
            yield
        except MultipointError as reason:
            self._overlapped.Internal = reason.code
            raise


def wait_for_end(overlapped: WSAOVERLAPPED) -> None:
    """Wait until the operation has finished."""
    wait_for(None, lambda: None if overlapped.is_pending else 0)
