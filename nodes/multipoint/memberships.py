"""The groups that one plain socket has joined: Windows' rules first, then the kernel (DP-08 to DP-10, SK-40).

``filters`` says whether a change is in turn; what passes it, the kernel understands in the same way. May not know:
which call of the program asks for it.
"""

import copy
import socket
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from multipoint import kernel
from multipoint.filters import GroupFilter, Mode


class Change(Enum):
    """What can be done to the filter of a group."""

    ADD = "hear everybody"
    DROP = "hear nobody"
    ADD_SOURCE = "hear this source too"
    DROP_SOURCE = "hear this source no more"
    BLOCK = "hear everybody but this source"
    UNBLOCK = "hear this source again"


class Place(NamedTuple):
    """A group on one interface; index 0 is the system's choice."""

    group: str
    interface: int


class Memberships:
    """The filters of one kernel socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._filters: dict[Place, GroupFilter] = {}

    def change(self, change: Change, place: Place, source: str | None = None) -> None:
        """Change one filter. Raises CallerError if out of turn, OSError if the kernel refuses; then nothing changes."""
        wanted = copy.copy(self._filters.get(place)) or GroupFilter()
        _CHANGES[change](wanted, source or "")
        kernel.change_group(self._sock, _OPTIONS[change], kernel.Membership(place.group, place.interface, source))
        self._filters[place] = wanted

    def replace(self, place: Place, mode: Mode, sources: Sequence[str]) -> None:
        """Put a whole filter into force (IO-24): joins what was not joined; to include nobody is to leave."""
        old, wanted = self.filter_of(place), GroupFilter()
        wanted.replace(mode, sources)
        everybody = kernel.Membership(*place)
        if wanted.is_joined and not old.is_joined:
            kernel.join(self._sock, everybody if mode is Mode.EXCLUDE else everybody._replace(source=sources[0]))
        try:
            if wanted.is_joined:
                kernel.replace_filter(self._sock, place.group, place.interface, mode.value, sources)
        except OSError:
            if not old.is_joined:
                kernel.leave(self._sock, everybody)
            raise
        if old.is_joined and not wanted.is_joined:
            kernel.leave(self._sock, everybody)
        self._filters[place] = wanted

    def filter_of(self, place: Place) -> GroupFilter:
        """Return what is heard of a group now."""
        return self._filters.get(place) or GroupFilter()


_CHANGES: Mapping[Change, Callable[[GroupFilter, str], None]] = {
    Change.ADD: lambda it, _: it.add(),
    Change.DROP: lambda it, _: it.drop(),
    Change.ADD_SOURCE: GroupFilter.add_source,
    Change.DROP_SOURCE: GroupFilter.drop_source,
    Change.BLOCK: GroupFilter.block,
    Change.UNBLOCK: GroupFilter.unblock,
}
_OPTIONS: Mapping[Change, int] = {
    Change.ADD: kernel.MCAST_JOIN_GROUP,
    Change.DROP: kernel.MCAST_LEAVE_GROUP,
    Change.ADD_SOURCE: kernel.MCAST_JOIN_SOURCE_GROUP,
    Change.DROP_SOURCE: kernel.MCAST_LEAVE_SOURCE_GROUP,
    Change.BLOCK: kernel.MCAST_BLOCK_SOURCE,
    Change.UNBLOCK: kernel.MCAST_UNBLOCK_SOURCE,
}
