"""The documentation's words that a test uses: flags, roles, events, verdicts, providers.

They travel by name and are spelled as the documentation spells them; the stack in the node knows the numbers.

May not know: sockets, channels.
"""

from enum import Enum, StrEnum


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


class Direction(StrEnum):
    """What shutdown ends."""

    RECEIVE = "SD_RECEIVE"
    SEND = "SD_SEND"
    BOTH = "SD_BOTH"


class Family(StrEnum):
    """Address families."""

    IPV4 = "AF_INET"
    IPV6 = "AF_INET6"


class Provider(Enum):
    """A row of the stack's catalogue, as WSASocket is asked for it: type, protocol, and whether it is rooted."""

    # Any-source IP multicast: nonrooted control, nonrooted data.
    MCAST = ("SOCK_DGRAM", "IPPROTO_UDP")
    # Point-to-multipoint: rooted control, rooted data.
    P2MP = ("SOCK_SEQPACKET", 0)

    def __init__(self, type: str, protocol: str | int) -> None:
        self.type = type
        self.protocol = protocol  # 0: any
