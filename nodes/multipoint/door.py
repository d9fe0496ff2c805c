"""The queue of a listening socket: who has asked and waits for the program's decision.

May not know: whether a root or a leaf listens; sockets, threads, clocks.
"""

from collections import deque

from multipoint.link import Link

# AC-06: SOMAXCONN asks for the provider's maximum, and less than 1 would refuse everybody.
MAX_BACKLOG = 1024


class Door:
    """Requests in the order in which they came; closed until ``open``."""

    def __init__(self) -> None:
        self.is_open = False
        # AC-26: the first one was put off; until it is decided, the others are not announced.
        self.is_deferred = False
        self._backlog = 0
        self._waiting: deque[Link] = deque()
        # Those among them whose connection was reset; the next accept tells of each (AC-18).
        self._reset: set[Link] = set()

    def open(self, backlog: int) -> None:
        """Listen; a second call changes nothing (AC-05)."""
        if not self.is_open:
            self.is_open = True
            self._backlog = min(max(backlog, 1), MAX_BACKLOG)

    def close(self) -> list[Link]:
        """Stop listening; return those who waited, for refusal."""
        self.is_open = False
        waiting, self._waiting = [link for link in self._waiting if link not in self._reset], deque()
        self._reset.clear()
        return waiting

    def enqueue(self, link: Link) -> bool:
        """Let one wait; False if there is no room (AC-07)."""
        if self._reset and len(self._waiting) >= self._backlog:
            self.withdraw(next(iter(self._reset)))
        if not self.is_open or len(self._waiting) >= self._backlog:
            return False
        self._waiting.append(link)
        return True

    def withdraw(self, link: Link) -> None:
        """Forget one who gave up (AC-18)."""
        if link in self._waiting:
            self.is_deferred = self.is_deferred and self._waiting[0] is not link
            self._waiting.remove(link)
            self._reset.discard(link)

    def reset(self, link: Link) -> None:
        """Note that the connection of one was reset; it waits on, for the accept that tells of it (AC-18)."""
        if link in self._waiting:
            self.is_deferred = self.is_deferred and self._waiting[0] is not link
            self._reset.add(link)

    def was_reset(self, link: Link) -> bool:
        """Tell whether there is nobody to let in any more."""
        return link in self._reset

    def first(self) -> Link | None:
        """Return who is next, without taking it out."""
        return self._waiting[0] if self._waiting else None

    def take(self, link: Link) -> None:
        """Take out one that is decided."""
        self._waiting.remove(link)
        self._reset.discard(link)
        self.is_deferred = False

    @property
    def is_calling(self) -> bool:
        """Tell whether there is somebody to announce."""
        return bool(self._waiting) and not self.is_deferred
