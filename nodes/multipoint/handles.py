"""What belongs to a process that uses the Winsock-shaped functions: the started stack, handles, last errors.

May not know: what the calls do.
"""

import itertools
import threading
from typing import Generic, TypeVar

from multipoint import constants, forks
from multipoint.dialects import nested_code
from multipoint.errors import error
from multipoint.messages import MessageQueue
from multipoint.signals import Signal
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Settings

T = TypeVar("T")

# Windows' handles are multiples of four; the first ones are left out, as they look like descriptors.
FIRST_HANDLE = 0x100
HANDLE_STEP = 4


class Table(Generic[T]):
    """Handles and what they stand for. A handle is not given out twice: so a stale one is always noticed."""

    def __init__(self, unknown: int) -> None:
        self._unknown = unknown
        # Messages name sockets, and they are posted by the stack's thread.
        self._lock = threading.Lock()
        self._numbers = itertools.count(FIRST_HANDLE, HANDLE_STEP)
        self._values: dict[int, T] = {}
        self._handles: dict[T, int] = {}

    def add(self, value: T) -> int:
        """Return the handle of a value, a new one if it has none yet."""
        with self._lock:
            if value not in self._handles:
                self._handles[value] = next(self._numbers)
                self._values[self._handles[value]] = value
            return self._handles[value]

    def get(self, handle: object) -> T:
        """Return what the handle stands for. Raises WSAENOTSOCK or WSA_INVALID_HANDLE."""
        value = self._values.get(handle) if isinstance(handle, int) else None
        if value is None:
            raise error(self._unknown, "no such handle", handle=handle)
        return value

    def remove(self, handle: int) -> None:
        """Forget a handle, if nobody has done so meanwhile."""
        with self._lock:
            value = self._values.pop(handle, None)
            if value is not None:
                del self._handles[value]

    def lose(self) -> None:
        """Be empty in a forked child, where the lock may be held by nobody who is there."""
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all handles."""
        with self._lock:
            self._values.clear()
            self._handles.clear()


class Process:
    """The process's use of the stack: WSAStartup counts, the last WSACleanup ends it (SU-07)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._local = threading.local()
        self._starts = 0
        # What WSAStartup granted last (low byte: major).
        self.version = 0
        self._stack: Stack | None = None
        self.sockets: Table[MultipointSocket] = Table(constants.WSAENOTSOCK)
        self.events: Table[Signal] = Table(constants.WSA_INVALID_HANDLE)
        self.queues: Table[MessageQueue] = Table(constants.WSA_INVALID_HANDLE)
        forks.tell_child(self)

    def lose(self) -> None:
        """Be a forked child's: nothing was started here."""
        self._lock = threading.Lock()
        self._starts, self._stack = 0, None
        for table in (self.sockets, self.events, self.queues):
            table.lose()
        forks.tell_child(self)

    @property
    def stack(self) -> Stack:
        """The started stack. Raises WSANOTINITIALISED (SU-06)."""
        # Looked at once: another thread may end it meanwhile.
        stack = self._stack
        if stack is None:
            raise error(constants.WSANOTINITIALISED, "WSAStartup comes first")
        return stack

    @property
    def is_started(self) -> bool:
        """Tell whether the stack is in use."""
        return self._stack is not None

    def start(self, settings: Settings | None) -> None:
        """Start, or count one more user; the settings of the first one hold."""
        with self._lock:
            self._stack = self._stack or Stack(settings)
            self._starts += 1

    def check_nesting(self) -> None:
        """Raise WSAEINPROGRESS where a thread that is in a call or a callback may make no other (DI-08, D-47)."""
        code = nested_code(self.stack.dialect, self.version)
        if code:
            raise error(code, "the thread is in a blocking call or a callback")

    def clean_up(self) -> None:
        """Count one user less; the last one ends everything (SU-08, SU-09, SU-12)."""
        with self._lock:
            stack = self.stack
            self._starts -= 1
            if self._starts:
                return
            self._stack = None
            # With the lock: who starts anew must not lose his sockets to this end.
            stack.close()
            self.sockets.clear()

    @property
    def last_error(self) -> int:
        """The calling thread's last error (SU-13)."""
        return getattr(self._local, "code", 0)

    @last_error.setter
    def last_error(self, code: int) -> None:
        self._local.code = code
