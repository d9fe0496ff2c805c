"""The documentation's words that a test uses: flags, roles, events, verdicts, providers.

They travel by name and are spelled as the documentation spells them; the stack in the node knows the numbers.

May not know: sockets, channels.
"""

from enum import StrEnum


class Flag(StrEnum):
    """Flags of WSASocket: what a socket is in the control plane (C) and in the data plane (D)."""

    C_ROOT = "WSA_FLAG_MULTIPOINT_C_ROOT"
    C_LEAF = "WSA_FLAG_MULTIPOINT_C_LEAF"
    D_ROOT = "WSA_FLAG_MULTIPOINT_D_ROOT"
    D_LEAF = "WSA_FLAG_MULTIPOINT_D_LEAF"
    OVERLAPPED = "WSA_FLAG_OVERLAPPED"


class Role(StrEnum):
    """dwFlags of WSAJoinLeaf: what the joining socket does with data."""

    SENDER_ONLY = "JL_SENDER_ONLY"
    RECEIVER_ONLY = "JL_RECEIVER_ONLY"
    BOTH = "JL_BOTH"


class NetworkEvent(StrEnum):
    """What WSAEventSelect can ask for."""

    READ = "FD_READ"
    WRITE = "FD_WRITE"
    ACCEPT = "FD_ACCEPT"
    CONNECT = "FD_CONNECT"
    CLOSE = "FD_CLOSE"
    QOS = "FD_QOS"


class Verdict(StrEnum):
    """What a condition function answers."""

    ACCEPT = "CF_ACCEPT"
    REJECT = "CF_REJECT"
    DEFER = "CF_DEFER"


class Service(StrEnum):
    """How firmly a flow is promised."""

    BEST_EFFORT = "SERVICETYPE_BESTEFFORT"
    CONTROLLED_LOAD = "SERVICETYPE_CONTROLLEDLOAD"
    GUARANTEED = "SERVICETYPE_GUARANTEED"


class Direction(StrEnum):
    """What shutdown ends."""

    RECEIVE = "SD_RECEIVE"
    SEND = "SD_SEND"
    BOTH = "SD_BOTH"


class Family(StrEnum):
    """Address families."""

    IPV4 = "AF_INET"
    IPV6 = "AF_INET6"


class Provider(StrEnum):
    """The rows of the stack's catalogue, one for each quadrant of the taxonomy."""

    MCAST = "MCAST"  # IP multicast, any source: nonrooted control, nonrooted data
    SSM = "SSM"  # source-specific multicast: nonrooted control, rooted data
    P2MP = "P2MP"  # point-to-multipoint, as ATM has it: rooted control, rooted data
    CONF = "CONF"  # conference, as T.120 has it: rooted control, nonrooted data
