"""What the stack asks of the Linux kernel: sockets, memberships, interfaces. The one place with Linux numbers.

Errors of the kernel leave this module as they are (OSError); the callers know which call of the program they belong
to and translate them.

May not know: sockets of the stack, sessions.
"""

import array
import contextlib
import ctypes
import errno
import fcntl
import itertools
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from multipoint import constants, packetfilter
from multipoint.codec import as_endpoint
from multipoint.forks import close_in_child
from multipoint.linux import LINUX_FILTER_MODES

# linux/in.h, linux/in6.h; not in the socket module
IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29
IP_RECVERR = 11
IPV6_RECVERR = 25
MCAST_JOIN_GROUP = 42
MCAST_BLOCK_SOURCE = 43
MCAST_UNBLOCK_SOURCE = 44
MCAST_LEAVE_GROUP = 45
MCAST_JOIN_SOURCE_GROUP = 46
MCAST_LEAVE_SOURCE_GROUP = 47
MCAST_MSFILTER = 48
TCP_TABLES = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))
# FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING: no program has them any more, or it has said its last.
ENDED_STATES = frozenset({4, 5, 6, 9, 11})
SIOCGIFCONF = 0x8912
SIOCGIFFLAGS = 0x8913
IFF_UP = 0x1
IFREQ_SIZE = 40
SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
STORAGE_SIZE = 128

# SK-42, D-64: Windows numbers at the interface, Linux numbers inside
FAMILIES = {constants.AF_INET: socket.AF_INET, constants.AF_INET6: socket.AF_INET6}


class Membership(NamedTuple):
    """One group on one interface (index 0: the system's choice), from one source or from any."""

    group: str
    interface: int
    source: str | None = None


def level(family: int) -> int:
    """Return the option level of a family."""
    return socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP


def datagram_socket(family: int) -> socket.socket:
    """Return a nonblocking UDP socket that hears only groups it has joined itself (DP-04)."""
    sock = close_in_child(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
    option = IPV6_MULTICAST_ALL if family == socket.AF_INET6 else IP_MULTICAST_ALL
    sock.setsockopt(level(family), option, 0)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def stream_socket(family: int) -> socket.socket:
    """Return a nonblocking TCP socket for a control connection or a listener."""
    sock = close_in_child(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def join(sock: socket.socket, membership: Membership) -> None:
    """Join; the kernel reports the membership to the network."""
    change_group(sock, MCAST_JOIN_SOURCE_GROUP if membership.source else MCAST_JOIN_GROUP, membership)


def leave(sock: socket.socket, membership: Membership) -> None:
    """Leave; the kernel reports it if no other socket of the host holds the group."""
    change_group(sock, MCAST_LEAVE_SOURCE_GROUP if membership.source else MCAST_LEAVE_GROUP, membership)


def change_group(sock: socket.socket, option: int, membership: Membership) -> None:
    """Do with a group what one of the options MCAST_... does."""
    # Asking Python's socket for its family takes as long as telling the kernel.
    family = sock.family
    sock.setsockopt(level(family), option, _group_request(family, membership))


def replace_filter(sock: socket.socket, group: str, interface: int, mode: int, sources: Sequence[str]) -> None:
    """Put a whole filter into force on a group that is joined; the mode is Windows' number (C.6)."""
    head = struct.pack("=I4x", interface) + _storage(sock.family, group)
    filter_ = head + struct.pack("=II", LINUX_FILTER_MODES[mode], len(sources))
    filter_ += b"".join(_storage(sock.family, source) for source in sources)
    sock.setsockopt(level(sock.family), MCAST_MSFILTER, filter_)


def set_multicast_interface(sock: socket.socket, interface: int, source: str | None = None) -> None:
    """Send multicast through this interface, on IPv4 from this address if one is given."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface)
    else:
        mreqn = struct.pack("=4s4si", bytes(4), socket.inet_aton(source or "0.0.0.0"), interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)


def set_sizes_and_broadcast(sock: socket.socket, receive: int | None, send: int | None, broadcast: bool | None) -> None:
    """Set the sizes of buffers, and whether broadcast may be sent; None leaves a thing as it is."""
    for option, value in ((socket.SO_RCVBUF, receive), (socket.SO_SNDBUF, send), (socket.SO_BROADCAST, broadcast)):
        if value is not None:
            sock.setsockopt(socket.SOL_SOCKET, option, int(value))


def default_receive_size() -> int:
    """Return the size of a receive buffer that nobody has chosen, in bytes."""
    return _default_size(socket.SO_RCVBUF)


def default_send_size() -> int:
    """Return the size of a send buffer that nobody has chosen, in bytes."""
    return _default_size(socket.SO_SNDBUF)


def _default_size(option: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.getsockopt(socket.SOL_SOCKET, option)


def report_refusals(sock: socket.socket) -> None:
    """Have ICMP errors reported, which the kernel does of itself on connected sockets only (DP-37)."""
    option = IPV6_RECVERR if sock.family == socket.AF_INET6 else IP_RECVERR
    sock.setsockopt(level(sock.family), option, 1)


def take_errors(sock: socket.socket) -> int:
    """Take the errors that were reported out of their queue, and return how many."""
    for count in itertools.count():
        try:
            sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return count
    raise AssertionError("the loop returns")


def set_multicast_scope(sock: socket.socket, scope: int) -> None:
    """Set the TTL or hop limit of multicast datagrams."""
    family = sock.family
    option = socket.IPV6_MULTICAST_HOPS if family == socket.AF_INET6 else socket.IP_MULTICAST_TTL
    sock.setsockopt(level(family), option, scope)


def socket_name(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return an address as Python's sockets take it. Raises OSError for an interface by a name that none has.

    What stands behind a percent sign they leave out: the scope id has a place of its own.
    """
    bare, _, scope = host.partition("%")
    if not scope:
        return host, port
    if not scope.isdecimal():
        raise OSError(errno.ENODEV, f"no interface {scope}")
    return bare, port, 0, int(scope)


def check_own(family: int, host: str) -> None:
    """Raise OSError (EADDRNOTAVAIL) unless this is an address of this host."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(socket_name(host, 0))


def send_from(sock: socket.socket, host: str) -> None:
    """Send from this IPv6 address, whatever the socket is bound to."""
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed + struct.pack("=I", 0))


def set_loopback(sock: socket.socket, is_on: bool, address: str | None = None) -> None:
    """Receive, or don't, what this host sends to the groups joined (D.7), and unicast to one address only or to any.

    Linux' IP_MULTICAST_LOOP acts on the sender. A filter on the receiver that drops packets of type PACKET_LOOPBACK
    has Winsock's meaning, and shows nowhere on the wire.
    """
    steps = packetfilter.program(is_on, address)
    if not steps:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        return
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    memory = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(steps), ctypes.addressof(memory)))


def interface_of(family: int, host: str) -> int | None:
    """Return the index of the interface that has this address; None if no interface has it."""
    if family == socket.AF_INET6:
        return _interfaces6().get(host.partition("%")[0])
    return next((socket.if_nametoindex(name) for address, name in _labels4() if address == host), None)


def local_addresses(family: int) -> list[str]:
    """Return the addresses of this host; those that are good on one link only with its index."""
    if family != socket.AF_INET6:
        return [address for address, _ in _labels4()]
    return [f"{host}%{index}" if host.startswith("fe80") else host for host, index in _interfaces6().items()]


def interface_towards(family: int, host: str | None) -> int:
    """Return the interface that the system would send through, by default to groups; 0 if there is none."""
    try:
        source = source_towards(family, host or ("ff0e::1" if family == socket.AF_INET6 else "224.0.0.1"), 1)
    except OSError:
        return 0
    return interface_of(family, source) or 0


def set_priority(sock: socket.socket, priority: int) -> None:
    """Choose the priority among this host's packets, 0 to 7; 7 only if we may."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)


def round_trip_us(sock: socket.socket) -> int:
    """Return the kernel's measure of the way to a TCP peer and back."""
    return int(struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 68)[0])


def is_up(interface: int) -> bool:
    """Tell whether an interface is switched on. Raises OSError if it is not there."""
    name = socket.if_indextoname(interface).encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        flags = struct.unpack("16sh22x", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh22x", name, 0)))[1]
    return bool(flags & IFF_UP)


def is_reachable(host: str) -> bool:
    """Tell whether an address is still one of this host, and not one of an interface that is switched off."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        check_own(family, host)
        interface = interface_of(family, host.partition("%")[0])
        # Of a whole network of addresses (127/8) the kernel lists one.
        return interface is None or is_up(interface)
    except OSError:
        return False


def is_any_up() -> bool:
    """Tell whether any interface is switched on, loopback too; answered after changes that are under way."""
    for index, _ in socket.if_nameindex():
        with contextlib.suppress(OSError):
            if is_up(index):
                return True
    return False


def tcp_states(port: int) -> set[int]:
    """Return the states, as the kernel numbers them, of the TCP sockets here that listen or talk at a port."""
    states = set()
    for table in TCP_TABLES:
        # The second one is missing where IPv6 is.
        with contextlib.suppress(FileNotFoundError):
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if int(local.rpartition(":")[2], 16) == port:
                    states.add(int(state, 16))
    return states


def source_towards(family: int, host: str, port: int) -> str:
    """Return the local address that the system would send from; a look at the routes, nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(socket_name(host, port))
        return as_endpoint(probe.getsockname()).host


def _group_request(family: int, membership: Membership) -> bytes:
    request = struct.pack("=I4x", membership.interface) + _storage(family, membership.group)
    return request + _storage(family, membership.source) if membership.source else request


def _storage(family: int, host: str) -> bytes:
    packed = socket.inet_pton(family, host.partition("%")[0])
    start = struct.pack("=HH", family, 0) + (bytes(4) if family == socket.AF_INET6 else b"") + packed
    return start.ljust(STORAGE_SIZE, b"\0")


def _labels4() -> list[tuple[str, str]]:
    """Every IPv4 address of the host with its interface, also second ones (listed under labels such as eth0:1)."""
    room = array.array("B", bytes(256 * IFREQ_SIZE))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        filled = fcntl.ioctl(sock, SIOCGIFCONF, struct.pack("iL", len(room), room.buffer_info()[0]))
    used = struct.unpack("iL", filled)[0]
    rows = struct.iter_unpack("16s4x4s16x", room[:used])
    return [(socket.inet_ntoa(host), label.partition(b"\0")[0].partition(b":")[0].decode()) for label, host in rows]


def _interfaces6() -> dict[str, int]:
    table = Path("/proc/thread-self/net/if_inet6")
    if not table.exists():
        return {}
    rows = (line.split() for line in table.read_text().splitlines())
    return {socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])): int(row[1], 16) for row in rows}
