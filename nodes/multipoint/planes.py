"""Making data planes: which kernel socket, bound where, with which membership, for each end and class of session.

Errors are the kernel's (OSError). May not know: control connections, events, sockets of the stack.
"""

import contextlib
import errno
import random
import socket
from dataclasses import dataclass
from ipaddress import ip_network

from multipoint import constants, kernel
from multipoint.addresses import is_group, packed
from multipoint.choices import Choices
from multipoint.datagram import ROOT_SENDER, Authenticator, ReplayWindow
from multipoint.errors import error
from multipoint.kinds import JoinRole, Kind, Plane
from multipoint.sealed import SealedSocket, Source
from multipoint.values import Settings
from multipoint.wire import Endpoint, Membership

CHOICE_ATTEMPTS = 1000


def choose_group(family: int, settings: Settings, taken: set[Endpoint]) -> Endpoint:
    """Return a group and port that no session of this stack has (DP-41). Raises OSError if none is found."""
    network = ip_network(settings.groups_ipv6 if family == socket.AF_INET6 else settings.groups_ipv4)
    for _ in range(CHOICE_ATTEMPTS):
        host = network[random.randrange(1, network.num_addresses)]
        group = Endpoint(str(host), random.randint(settings.first_port, settings.last_port))
        if group not in taken:
            return group
    raise OSError(errno.ENOBUFS, "the configured groups and ports are taken")


def check_group(family: int, group: Endpoint) -> None:
    """Raise WSAEADDRNOTAVAIL for what is no group and port of the family."""
    try:
        is_known = is_group(group.host) and family_of(group.host) == family
    except ValueError:
        is_known = False
    if not is_known or not 0 < group.port < 1 << 16:
        raise error(constants.WSAEADDRNOTAVAIL, "is no group and port", group=group)


def open_root(kind: Kind, session: int, host: str, group: Endpoint, options: Choices) -> tuple[SealedSocket, Endpoint]:
    """Return the root's end of the data plane and its address; ``host`` is the root's own address."""
    family = family_of(host)
    sock = kernel.datagram_socket(family)
    try:
        interface = _prepare(sock, host, options)
        if kind.data is Plane.ROOT:
            sock.bind(kernel.socket_name(host, 0))
            return SealedSocket(sock, session, ROOT_SENDER), Endpoint(host, sock.getsockname()[1])
        _bind_to_group(sock, group)
        kernel.join(sock, kernel.Membership(group.host, interface))
        return SealedSocket(sock, session, ROOT_SENDER), Endpoint(host, group.port)
    except OSError:
        sock.close()
        raise


@dataclass(frozen=True)
class Prepared:
    """A member's kernel socket as far as it can be made before the root has said which group it is for."""

    sock: socket.socket
    interface: int
    options: Choices


def prepare_member(host: str, options: Choices) -> Prepared:
    """Make a member's kernel socket; ``host`` is its own address. Hand it to ``open_member``, or close it."""
    sock = kernel.datagram_socket(family_of(host))
    try:
        return Prepared(sock, _prepare(sock, host, options), options.copy())
    except OSError:
        sock.close()
        raise


def open_member(kind: Kind, membership: Membership, prepared: Prepared, role: JoinRole) -> SealedSocket:
    """Return a member's end of the data plane, which owns the prepared socket. A sender joins no group (JL-56)."""
    sock = prepared.sock
    joined = None
    try:
        _bind_to_group(sock, membership.group)
        if role.receives:
            source = membership.root.host if kind.provider.is_data_rooted else None
            joined = kernel.Membership(membership.group.host, prepared.interface, source)
            kernel.join(sock, joined)
    except OSError:
        sock.close()
        raise
    plane = SealedSocket(sock, membership.session, membership.member)
    plane.membership = joined
    authenticator, window = Authenticator(membership.group_key), ReplayWindow(membership.sequence)
    if kind.provider.is_data_rooted:
        plane.welcome(ROOT_SENDER, Source(authenticator, membership.root, window))
    else:
        plane.anyone = authenticator
        plane.welcome(ROOT_SENDER, Source(authenticator, None, window))
    return plane


def give_up(plane: SealedSocket) -> None:
    """Leave the group now; the socket stays, to read what has come."""
    if plane.membership:
        # The interface may be gone, and the membership with it.
        with contextlib.suppress(OSError):
            kernel.leave(plane.sock, plane.membership)
        plane.membership = None


def family_of(host: str) -> int:
    """Return the Linux family of an address."""
    return socket.AF_INET6 if len(packed(host)) == 16 else socket.AF_INET


def _prepare(sock: socket.socket, host: str, options: Choices) -> int:
    """Set what is sent and where; return the interface (DP-05)."""
    interface = options.interface or kernel.interface_of(sock.family, host) or 0
    if interface:
        kernel.set_multicast_interface(sock, interface)
    kernel.set_multicast_scope(sock, options.scope)
    kernel.set_sizes_and_broadcast(sock, options.receive_buffer, options.send_buffer, options.broadcast or None)
    if not options.loopback:
        kernel.set_loopback(sock, False)
    return interface


def _bind_to_group(sock: socket.socket, group: Endpoint) -> None:
    """Hear this group only; several members on one host share group and port."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group.host, group.port))
