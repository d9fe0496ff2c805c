"""The record of network events of one socket, its *event memory* (EV-09 to EV-45).

It is told facts (data is queued, a join has ended, the peer has gone), whether or not the program has registered, and
says which events it recorded because of them; if that is not nothing, the event object is to be set. What the program
finds with WSAEnumNetworkEvents is what ``take()`` returns.

Two sorts of events. Those of a *level* (FD_READ, FD_WRITE, FD_ACCEPT, FD_OOB) are recorded when their condition holds
and they are *armed*; recording disarms, the re-enabling call arms again (EV-17, EV-25). The others are recorded when
something happens. May not know: event objects, sockets, other sockets' memories.
"""

from collections.abc import Mapping
from enum import IntFlag
from functools import lru_cache
from typing import Self

from multipoint import constants
from multipoint.kinds import JoinRole, Kind, Plane


class NetworkEvent(IntFlag):
    """The FD_* bits; the number of the bit is the index into iErrorCode."""

    NONE = 0
    READ = constants.FD_READ
    WRITE = constants.FD_WRITE
    OOB = constants.FD_OOB
    ACCEPT = constants.FD_ACCEPT
    CONNECT = constants.FD_CONNECT
    CLOSE = constants.FD_CLOSE
    QOS = constants.FD_QOS
    GROUP_QOS = constants.FD_GROUP_QOS
    ROUTING_INTERFACE_CHANGE = constants.FD_ROUTING_INTERFACE_CHANGE
    ADDRESS_LIST_CHANGE = constants.FD_ADDRESS_LIST_CHANGE

    @property
    def index(self) -> int:
        """The place of a single event's code in iErrorCode."""
        return self.bit_length() - 1


NONE = NetworkEvent.NONE
LEVELS = NetworkEvent.READ | NetworkEvent.WRITE | NetworkEvent.OOB | NetworkEvent.ACCEPT
_ARMED_AT_FIRST = LEVELS | NetworkEvent.CLOSE
# EV-34, EV-35: only after the ioctl of the same name, and once for each such call.
ARMED_BY_IOCTL = NetworkEvent.ROUTING_INTERFACE_CHANGE | NetworkEvent.ADDRESS_LIST_CHANGE
# EV-41: what gets recorded by one fact is recorded, and posted, in this order.
ORDER = (NetworkEvent.CONNECT, NetworkEvent.WRITE, NetworkEvent.READ, NetworkEvent.OOB, NetworkEvent.ACCEPT)


@lru_cache
def possible_events(
    kind: Kind | None, role: JoinRole | None = None, is_leg: bool = False, has_side_chats: bool = True
) -> NetworkEvent:
    """Return the events that such a socket can ever record; ``role`` is None before it has joined.

    ``kind`` is None for an ordinary socket, which joins nothing and has data all the same (SK-15).
    """
    possible = NetworkEvent.QOS | ARMED_BY_IOCTL
    if kind is None:
        return possible | NetworkEvent.READ | NetworkEvent.WRITE
    if is_leg:
        # EV-40: its own FD_CONNECT stands with the c_root; DP-34: without side chats it carries no data.
        chats = NetworkEvent.READ | NetworkEvent.WRITE if has_side_chats else NONE
        return possible | NetworkEvent.CLOSE | chats
    possible |= NetworkEvent.CONNECT
    if role is None or role.receives or kind.control is Plane.ROOT:
        # EV-36. The role of a c_root is one towards a single leaf (JL-55).
        possible |= NetworkEvent.READ
    if role is None or role.sends or kind.control is Plane.ROOT:
        # EV-37
        possible |= NetworkEvent.WRITE
    if kind.may_listen:
        possible |= NetworkEvent.ACCEPT
    if kind.reports_close:
        # EV-43
        possible |= NetworkEvent.CLOSE
    return possible


class EventMemory:
    """Records events of one socket. Each method that is told a fact returns the events it newly recorded."""

    def __init__(self, possible: NetworkEvent, mask: NetworkEvent = NONE) -> None:
        self.possible = possible
        # The events that the program has registered for: asked at each receive, so no property.
        self.mask = mask
        self._recorded: dict[NetworkEvent, int] = {}
        self._armed = _ARMED_AT_FIRST
        # There is room to send until a send has failed.
        self._levels: dict[NetworkEvent, int] = {NetworkEvent.WRITE: 0}
        self._is_open = False
        self._is_joined = False
        self._join_code: int | None = None
        self._close_code: int | None = None

    def is_armed(self, event: NetworkEvent) -> bool:
        """Tell whether an event that an ioctl arms is armed."""
        return event in self._armed

    @property
    def recorded(self) -> Mapping[NetworkEvent, int]:
        """What ``take`` would return now: error codes by event, in the order in which they were recorded."""
        return self._recorded

    def select(self, mask: NetworkEvent) -> NetworkEvent:
        """Register anew: the memory is cleared (EV-10) and what holds already is recorded (EV-18)."""
        self.mask = mask
        self._recorded.clear()
        self._armed |= _ARMED_AT_FIRST
        return self._connect() | self._newly()

    def inherit(self, possible: NetworkEvent) -> Self:
        """Return the memory of a socket that comes from this one: same mask, nothing recorded (EV-15)."""
        return type(self)(possible, self.mask)

    def take(self) -> dict[NetworkEvent, int]:
        """Return what is recorded, error codes by event, and clear it (EV-19)."""
        taken = dict(self._recorded)
        self._recorded.clear()
        if NetworkEvent.CONNECT in taken:
            self._join_code = None
        return taken

    def start_join(self) -> None:
        """Note a new WSAJoinLeaf: an unread outcome of an earlier one is wiped (EV-30, D-12)."""
        self._join_code = None
        self._recorded.pop(NetworkEvent.CONNECT, None)

    def end_join(self, code: int, is_leaf: bool) -> NetworkEvent:
        """Note a join's outcome (EV-39); success opens the socket for data. ``is_leaf``: this socket itself joined."""
        self._join_code = code
        self._is_joined = is_leaf and code == 0
        self._is_open |= code == 0
        return NONE if self.mask is NONE else self._connect() | self._newly()

    def forget_join(self) -> None:
        """Note that the call itself has told a join's outcome: a registration does not hear of it again (EV-18)."""
        self._join_code = None

    def open(self) -> NetworkEvent:
        """Note that data may flow: accepted, or a c_root with a session. Before, no FD_READ or FD_WRITE (EV-41)."""
        self._is_open = True
        return self._newly()

    def tell(self, event: NetworkEvent, holds: bool, code: int = 0) -> NetworkEvent:
        """Note whether a level's condition holds: data or a request is queued, there is room again."""
        if holds:
            self._levels[event] = code
        else:
            self._levels.pop(event, None)
        return self._newly()

    def enable(self, event: NetworkEvent, holds: bool = False) -> NetworkEvent:
        """Note a re-enabling call, even one that failed, and whether the condition holds after it (EV-25 to EV-35).

        For FD_WRITE only a send that found no room counts (EV-37), so ``holds`` is False.
        """
        if event not in self._armed:
            self._armed |= event
        return self.tell(event, holds) if event in LEVELS else NONE

    def change(self, event: NetworkEvent, code: int = 0) -> NetworkEvent:
        """Note a change of flows, route or addresses (EV-32, EV-34, EV-35, EV-45)."""
        if event in ARMED_BY_IOCTL and event not in self._armed:
            return NONE
        self._armed &= ~(event & ARMED_BY_IOCTL)
        return self._record(event, code)

    def close(self, code: int) -> NetworkEvent:
        """Note that the peer has gone or the session has ended; only the first cause counts (CL-38)."""
        if self._close_code is not None:
            return NONE
        self._close_code = code
        # No send works any more.
        self._levels.pop(NetworkEvent.WRITE, None)
        return self._close()

    def forget(self) -> None:
        """Note the program's own closesocket: from now on nothing is recorded (CL-26, EV-44)."""
        self.mask = self.possible = NONE
        self._recorded.clear()

    @property
    def wants_read(self) -> bool:
        """Tell whether the program is to be told of data."""
        return self.mask is not NONE and NetworkEvent.READ in self.mask & self.possible

    def _newly(self) -> NetworkEvent:
        # The common case first: flags are slow to work with.
        return NONE if self.mask is NONE else self._level() | self._close()

    def _connect(self) -> NetworkEvent:
        code = 0 if self._join_code is None and self._is_joined else self._join_code
        return NONE if code is None else self._record(NetworkEvent.CONNECT, code)

    def _level(self) -> NetworkEvent:
        newly = NONE
        for event in ORDER:
            if event in self._levels and event in self._armed and (self._is_open or event is NetworkEvent.ACCEPT):
                newly |= self._record(event, self._levels[event])
        # Those recorded are disarmed, those that nobody registered for stay armed.
        self._armed &= ~newly
        return newly

    def _close(self) -> NetworkEvent:
        # EV-42, CL-11: data received before is read first.
        if self._close_code is None or NetworkEvent.READ in self._levels or NetworkEvent.CLOSE not in self._armed:
            return NONE
        newly = self._record(NetworkEvent.CLOSE, self._close_code)
        self._armed &= ~newly
        return newly

    def _record(self, event: NetworkEvent, code: int) -> NetworkEvent:
        if self.mask is NONE or event not in self.mask & self.possible:
            return NONE
        self._recorded[event] = code
        return event
