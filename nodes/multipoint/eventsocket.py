"""Blocking mode, and who is told of a socket's network events (B.5).

What is recorded when is decided in ``events``. May not know: which calls there are besides.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from multipoint import constants
from multipoint.errors import error
from multipoint.events import EventMemory, NetworkEvent, possible_events
from multipoint.kinds import Kind
from multipoint.signals import Signal
from multipoint.waiting import WaitingSocket

if TYPE_CHECKING:
    from multipoint.stack import Stack

# Called under the stack's lock: which socket, which event, its error code.
Post: TypeAlias = Callable[["EventSocket", NetworkEvent, int], None]


class EventSocket(WaitingSocket):
    """A socket that a program can be told of."""

    def __init__(self, stack: "Stack", kind: Kind | None) -> None:
        super().__init__(stack)
        self.kind = kind
        self.is_blocking = True
        self.memory = EventMemory(possible_events(kind))
        # Who is told of events: one of the two, or neither (EV-10).
        self.signal: Signal | None = None
        self.post: Post | None = None

    def set_blocking(self, is_blocking: bool) -> None:
        """Choose the blocking mode; blocking is refused while events are selected (SK-41)."""
        with self.stack.lock:
            self.check_open()
            if is_blocking and self.memory.mask:
                raise error(constants.WSAEINVAL, "an event registration is active")
            self.is_blocking = is_blocking

    def select_events(self, signal: Signal | None, mask: int) -> None:
        """Set ``signal`` when an event of ``mask`` is recorded; mask 0 ends that (EV-09 to EV-12)."""
        self._register(signal, None, mask)

    def post_events(self, post: Post | None, mask: int) -> None:
        """Call ``post`` for each event of ``mask``, which is not recorded then (EV-23)."""
        self._register(None, post, mask)

    def _register(self, signal: Signal | None, post: Post | None, mask: int) -> None:
        with self.stack.lock:
            self.check_open()
            if mask & ~constants.FD_ALL_EVENTS or (mask and signal is None and post is None):
                raise error(constants.WSAEINVAL, "no such events, or no event object", mask=hex(mask))
            self.is_blocking = False
            self.signal, self.post = (signal, post) if mask else (None, None)
            if self.is_readable:
                self.memory.tell(NetworkEvent.READ, True)
            self.record(self.memory.select(NetworkEvent(mask)))
            self.attend()

    def enumerate_events(self, signal: Signal | None = None) -> dict[NetworkEvent, int]:
        """Return the recorded events with their error codes; clear them and reset ``signal``, as one step (EV-19)."""
        with self.stack.lock:
            self.check_open()
            if signal:
                signal.reset()
            return self.memory.take()

    def record(self, newly: NetworkEvent) -> None:
        """Set the event object if something was recorded, or post what was recorded."""
        if newly and self.signal:
            self.signal.set()
        elif newly and self.post:
            for event, code in self.memory.take().items():
                self.post(self, event, code)

    @property
    def is_readable(self) -> bool:
        """Tell whether a receive would return something; for events and select."""
        return False

    def attend(self) -> None:
        """Watch, or stop watching, what the registered events need to be known."""
