"""Ioctls about this host's addresses and routes (IO-20, IO-21, IO-23): asked of the kernel, answered as Windows does.

Where C has pointers into the buffer, there are offsets from its beginning. May not know: pointers of the program.
"""

import struct

from multipoint import constants, kernel, pointers
from multipoint.errors import error, from_kernel
from multipoint.sockets import MultipointSocket
from multipoint.values import sockaddr

# SOCKET_ADDRESS_LIST on 64 bits: iAddressCount, then for each a pointer and a length
COUNT = struct.Struct("<i4x")
PLACE = struct.Struct("<Qi4x")


def broadcast_address(sock: MultipointSocket, given: bytes) -> bytes:
    """SIO_GET_BROADCAST_ADDRESS: IPv6 has none."""
    if sock.entry.family == constants.AF_INET6:
        raise error(constants.WSAENOPROTOOPT, "IPv6 has no broadcast")
    return sockaddr("255.255.255.255", 0).pack()


def interface_towards(sock: MultipointSocket, given: bytes) -> bytes:
    """SIO_ROUTING_INTERFACE_QUERY: the local address from which a destination, or a group, is reached."""
    to = pointers.read_name(given, len(given), sock.entry.family)
    try:
        return sockaddr(kernel.source_towards(sock.family, to.host, to.port or 1), 0).pack()
    except OSError as reason:
        code = from_kernel(reason.errno) if kernel.is_any_up() else constants.WSAENETDOWN
        raise error(code, str(reason)) from reason


def addresses(sock: MultipointSocket, given: bytes) -> bytes:
    """SIO_ADDRESS_LIST_QUERY: the local addresses of the socket's family."""
    packed = [sockaddr(host, 0).pack() for host in kernel.local_addresses(sock.family)]
    start = COUNT.size + PLACE.size * len(packed)
    offsets = [start + sum(map(len, packed[:number])) for number in range(len(packed))]
    places = [PLACE.pack(offset, len(name)) for offset, name in zip(offsets, packed, strict=True)]
    return COUNT.pack(len(packed)) + b"".join(places) + b"".join(packed)
