"""Addresses as data, (host, port), and as the structures that the stack's functions take.

May not know: sockets.
"""

from multipoint.constants import AF_INET6
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6
from multipoint.values import Ref

# More than any address: SOCKADDR_IN6 takes 28 bytes.
ADDRESS_SIZE = 128


def to_sockaddr(address: list[str | int]) -> SOCKADDR_IN | SOCKADDR_IN6:
    """Return the structure for [host, port]."""
    host, port = str(address[0]), int(address[1])
    return SOCKADDR_IN6(port, sin6_addr=host) if ":" in host else SOCKADDR_IN(port, host)


def from_sockaddr(packed: bytes | bytearray | memoryview) -> list[str | int]:
    """Return [host, port] of a packed structure; one that was never filled in is an IPv4 address of zeros."""
    if int.from_bytes(packed[:2], "little") == AF_INET6:
        six = SOCKADDR_IN6.unpack(packed[: SOCKADDR_IN6.size])
        return [six.sin6_addr, six.sin6_port]
    four = SOCKADDR_IN.unpack(bytes(packed[: SOCKADDR_IN.size]).ljust(SOCKADDR_IN.size, b"\0"))
    return [four.sin_addr, four.sin_port]


def room_for_address() -> tuple[bytearray, Ref[int]]:
    """Return what a function writes an address and its length to."""
    return bytearray(ADDRESS_SIZE), Ref(ADDRESS_SIZE)
