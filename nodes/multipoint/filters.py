"""The source filter of one group on one interface of one socket: Windows' answers to its options (DP-08 to DP-10).

Linux answers several misuses with other codes, and accepts one; so the stack asks this table before it asks the kernel.
May not know: sockets, the kernel's numbers, which group it is.
"""

from collections.abc import Iterable
from enum import Enum

from multipoint import constants
from multipoint.constants import WSAEADDRNOTAVAIL, WSAEINVAL
from multipoint.errors import error


class Mode(Enum):
    """How the listed sources are meant."""

    NOT_JOINED = "not joined"
    # Named one by one; with nobody named any more it is not joined, but Windows still remembers the mode.
    INCLUDE = constants.MCAST_INCLUDE
    EXCLUDE = constants.MCAST_EXCLUDE


class GroupFilter:
    """What one socket hears of one group. Each method raises CallerError, and then changes nothing, if out of turn."""

    def __init__(self) -> None:
        self.mode = Mode.NOT_JOINED
        self.sources: frozenset[str] = frozenset()
        self._has_blocked = False

    @property
    def is_joined(self) -> bool:
        """Say whether anything of the group is heard."""
        return self.mode is Mode.EXCLUDE or bool(self.sources)

    def add(self) -> None:
        """IP_ADD_MEMBERSHIP, MCAST_JOIN_GROUP: hear everybody."""
        self._check_new()
        self._become(Mode.EXCLUDE, ())

    def drop(self) -> None:
        """IP_DROP_MEMBERSHIP, MCAST_LEAVE_GROUP: hear nobody."""
        if not self.is_joined:
            raise error(WSAEINVAL, "not joined")
        self._become(Mode.NOT_JOINED, ())

    def add_source(self, source: str) -> None:
        """IP_ADD_SOURCE_MEMBERSHIP, MCAST_JOIN_SOURCE_GROUP: hear this source too."""
        if self.mode is Mode.EXCLUDE:
            self._check_new()
        if source in self.sources:
            raise error(WSAEADDRNOTAVAIL, "joined already", source=source)
        self._become(Mode.INCLUDE, self.sources | {source})

    def drop_source(self, source: str) -> None:
        """IP_DROP_SOURCE_MEMBERSHIP, MCAST_LEAVE_SOURCE_GROUP: hear this source no more."""
        self._check_mode(Mode.INCLUDE)
        if source not in self.sources:
            raise error(WSAEADDRNOTAVAIL, "not joined", source=source)
        self._become(Mode.INCLUDE, self.sources - {source})

    def block(self, source: str) -> None:
        """IP_BLOCK_SOURCE, MCAST_BLOCK_SOURCE: hear everybody but this source."""
        self._check_mode(Mode.EXCLUDE)
        if source in self.sources:
            raise error(WSAEADDRNOTAVAIL, "blocked already", source=source)
        self._become(Mode.EXCLUDE, self.sources | {source})
        self._has_blocked = True

    def unblock(self, source: str) -> None:
        """IP_UNBLOCK_SOURCE, MCAST_UNBLOCK_SOURCE: hear this source again."""
        self._check_mode(Mode.EXCLUDE)
        if source not in self.sources:
            # Out of turn on a filter that never blocked anybody, a wrong address on one that did.
            code = WSAEADDRNOTAVAIL if self._has_blocked else WSAEINVAL
            raise error(code, "not blocked", source=source)
        self._become(Mode.EXCLUDE, self.sources - {source})

    def replace(self, mode: Mode, sources: Iterable[str]) -> None:
        """SIOCSMSFILTER, SIO_SET_MULTICAST_FILTER: the whole filter at once (IO-24); to include nobody is to leave."""
        wanted = frozenset(sources)
        leaves = mode is Mode.INCLUDE and not wanted
        self._become(Mode.NOT_JOINED if leaves else mode, wanted)
        self._has_blocked = self._has_blocked or (mode is Mode.EXCLUDE and bool(wanted))

    def _check_new(self) -> None:
        # A membership of either mode is there already. Once somebody is blocked Windows calls it out of turn.
        if self.mode is Mode.EXCLUDE and self.sources:
            raise error(WSAEINVAL, "sources are blocked")
        if self.is_joined:
            raise error(WSAEADDRNOTAVAIL, "joined already")

    def _check_mode(self, mode: Mode) -> None:
        if self.mode is not mode:
            raise error(WSAEINVAL, "out of turn", mode=self.mode.name)

    def _become(self, mode: Mode, sources: Iterable[str]) -> None:
        self.mode = mode
        self.sources = frozenset(sources)
        if mode is not Mode.EXCLUDE:
            self._has_blocked = False
