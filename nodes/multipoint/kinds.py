"""What kind of multipoint socket: its provider class, its place in the two planes, its role in a join (A.1 to A.3).

May not know: numbers of flags and catalogue entries (``catalogue``), or how anything is done.
"""

from enum import Enum, IntEnum
from typing import NamedTuple

from multipoint import constants


class ProviderClass(IntEnum):
    """One for each quadrant of the taxonomy (D-01). The numbers travel in the control protocol."""

    MCAST = 1
    SSM = 2
    P2MP = 3
    CONF = 4

    @property
    def is_control_rooted(self) -> bool:
        """A c_root is there for the whole session, and control runs between it and the leaves."""
        return self in (ProviderClass.P2MP, ProviderClass.CONF)

    @property
    def is_data_rooted(self) -> bool:
        """Data flows between the d_root and the d_leafs only."""
        return self in (ProviderClass.P2MP, ProviderClass.SSM)

    @property
    def has_connect_data(self) -> bool:
        """Joins carry caller and callee data (D-22)."""
        return self.is_control_rooted


class Plane(Enum):
    """A socket's place in the control plane or in the data plane."""

    LEAF = 0
    ROOT = 1


class JoinRole(IntEnum):
    """What the socket given to WSAJoinLeaf does with data (JL-05): values, not a mask."""

    SENDER_ONLY = constants.JL_SENDER_ONLY
    RECEIVER_ONLY = constants.JL_RECEIVER_ONLY
    BOTH = constants.JL_BOTH

    @property
    def sends(self) -> bool:
        """Say whether it may send."""
        return self is not JoinRole.RECEIVER_ONLY

    @property
    def receives(self) -> bool:
        """Say whether it may receive."""
        return self is not JoinRole.SENDER_ONLY

    @property
    def mirrored(self) -> "JoinRole":
        """What the other end is towards who plays this role (JL-55)."""
        return _MIRRORED[self]


_MIRRORED = {
    JoinRole.SENDER_ONLY: JoinRole.RECEIVER_ONLY,
    JoinRole.RECEIVER_ONLY: JoinRole.SENDER_ONLY,
    JoinRole.BOTH: JoinRole.BOTH,
}


class Reach(Enum):
    """Whom a send reaches, or whose data a receive yields (the tables of A.2)."""

    NOBODY = "nobody"
    ROOT = "the d_root only"
    LEAVES = "every leaf of the session"
    OTHERS = "every other participant"
    ANYONE = "anyone who uses the group"


class Kind(NamedTuple):
    """A provider class and a place in each plane: all that decides what a socket may do."""

    provider: ProviderClass
    control: Plane
    data: Plane

    @property
    def may_listen(self) -> bool:
        """A.2, AC-01, AC-04: only where control is rooted, the root for leaves, a leaf for invitations."""
        return self.provider.is_control_rooted

    @property
    def joins_many(self) -> bool:
        """A.2: a c_root joins one leaf after the other, each with a new descriptor; a c_leaf joins once, itself."""
        return self.control is Plane.ROOT

    @property
    def reports_close(self) -> bool:
        """EV-43: only legs and members of rooted control know FD_CLOSE."""
        return self.provider.is_control_rooted and self.control is Plane.LEAF

    @property
    def roles(self) -> frozenset[JoinRole]:
        """JL-06, D-20: the roles it can have in a join."""
        if self.provider is not ProviderClass.SSM:
            return _ALL_ROLES
        return frozenset({JoinRole.SENDER_ONLY if self.data is Plane.ROOT else JoinRole.RECEIVER_ONLY})

    @property
    def send_reaches(self) -> Reach:
        """Whom a send on this kind of socket reaches; its role may forbid sending on top."""
        return _SENDS[self.provider, self.data]

    @property
    def receive_yields(self) -> Reach:
        """Whose data this kind of socket receives; its role may forbid receiving on top."""
        return _RECEIVES[self.provider, self.data]


_ALL_ROLES = frozenset(JoinRole)
_SENDS = {
    (ProviderClass.MCAST, Plane.LEAF): Reach.ANYONE,
    (ProviderClass.SSM, Plane.LEAF): Reach.NOBODY,
    (ProviderClass.SSM, Plane.ROOT): Reach.LEAVES,
    (ProviderClass.P2MP, Plane.LEAF): Reach.ROOT,
    (ProviderClass.P2MP, Plane.ROOT): Reach.LEAVES,
    (ProviderClass.CONF, Plane.LEAF): Reach.OTHERS,
}
_RECEIVES = {
    (ProviderClass.MCAST, Plane.LEAF): Reach.ANYONE,
    (ProviderClass.SSM, Plane.LEAF): Reach.ROOT,
    (ProviderClass.SSM, Plane.ROOT): Reach.NOBODY,
    (ProviderClass.P2MP, Plane.LEAF): Reach.ROOT,
    (ProviderClass.P2MP, Plane.ROOT): Reach.LEAVES,
    (ProviderClass.CONF, Plane.LEAF): Reach.OTHERS,
}
