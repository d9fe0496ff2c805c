"""Small values that both faces share: boxes for results, settings, what counts as readable memory, addresses.

May not know: sockets, states.
"""

import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeAlias, TypeVar

from multipoint import constants
from multipoint.addresses import packed
from multipoint.dialects import DIALECTS
from multipoint.errors import error
from multipoint.flow import QOS
from multipoint.kinds import JoinRole
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6
from multipoint.wire import MAX_CONNECT_DATA, Endpoint

T = TypeVar("T")

Readable: TypeAlias = bytes | bytearray | memoryview
Writable: TypeAlias = bytearray | memoryview
SockAddr: TypeAlias = SOCKADDR_IN | SOCKADDR_IN6
Name: TypeAlias = SOCKADDR_IN | SOCKADDR_IN6 | Readable
# What Python's sockets take: a host as text, with "%3" behind it if it is link-local, and a port.
Address: TypeAlias = tuple[str, int] | Endpoint


@dataclass
class Ref(Generic[T]):
    """A box for a result: what C takes as a pointer to a number."""

    value: T


@dataclass(frozen=True)
class Settings:
    """What can be chosen when the stack is started; times in seconds."""

    # DI-01: "modern", "spec1990" or "ce"
    dialect: str = "modern"

    # JL-43, D-28
    join_timeout_s: float = 30.0
    # CL-21, D-60
    silence_s: float = 10.0
    # DP-41, D-88
    groups_ipv4: str = "239.255.0.0/16"
    groups_ipv6: str = "ff15::/16"
    # SK-27; session data takes its ports from here too
    first_port: int = 49152
    last_port: int = 65535
    # DP-34
    side_chats: bool = True
    # The pre-shared key of the control connections, long and random: who doesn't know it is not let in.
    key: bytes | None = field(default=None, repr=False)
    # QS-11: without it the providers have no quality of service
    quality: bool = True
    # QS-34: bytes a second that an interface can carry, by its name ("" for the system's choice)
    capacities: Mapping[str, int] = field(default_factory=dict)
    # QS-41: microseconds that an interface's link takes, by its name
    delays_us: Mapping[str, int] = field(default_factory=dict)
    # QS-42: more flows under a name, or others under a known one
    flow_templates: Mapping[str, QOS] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise WSAEINVAL for what no stack could keep to."""
        right = {
            "dialect": self.dialect in DIALECTS,
            "join_timeout_s": self.join_timeout_s >= 0,
            "silence_s": self.silence_s > 0,
            "groups_ipv4": _are_groups(self.groups_ipv4, IPv4Network),
            "groups_ipv6": _are_groups(self.groups_ipv6, IPv6Network),
            "first_port": 0 < self.first_port <= self.last_port < 1 << 16,
            "key": self.key is None or (isinstance(self.key, bytes) and len(self.key) > 0),
        }
        for name, is_right in right.items():
            if not is_right:
                raise error(constants.WSAEINVAL, f"{name} can't be that")


def _are_groups(network: str, kind: type[IPv4Network] | type[IPv6Network]) -> bool:
    try:
        groups = kind(network)
    except ValueError:
        return False
    return groups.is_multicast and groups.num_addresses > 1


@dataclass(frozen=True)
class JoinRequest:
    """What a program gives to a join besides the address."""

    role: JoinRole = JoinRole.BOTH
    caller_data: bytes = b""
    # JL-62: how much callee data the program can take
    capacity: int = MAX_CONNECT_DATA
    qos: QOS | None = None
    # JL-17: whom an SSM receiver wants to hear
    sources: tuple[str, ...] = ()
    # JL-61: called once, at completion, with what the acceptor said; empty after a failure.
    deliver: Callable[[bytes], None] = lambda _: None
    # DI-15: of the socket's group; kept in one dialect, ignored in the others
    group_qos: QOS | None = None

    @property
    def room(self) -> int:
        """The capacity as the other side is told it: no more than there can ever be (AC-22)."""
        return min(max(self.capacity, 0), MAX_CONNECT_DATA)

    def negotiating(self, qos: QOS | None) -> "JoinRequest":
        """Return the request with the flows that are negotiated with the peer instead of those wanted."""
        return self if qos is self.qos else replace(self, qos=qos)


@dataclass(frozen=True)
class Caller:
    """What a condition function sees of a request (AC-20)."""

    address: Endpoint
    data: bytes
    qos: QOS | None
    local: Endpoint
    capacity: int


@dataclass(frozen=True)
class Verdict:
    """What a condition function decides (AC-23 to AC-25)."""

    action: int = constants.CF_ACCEPT
    callee_data: bytes = b""
    qos: QOS | None = None
    # AC-28: as g of WSASocket; one that is no group is ignored
    group: int = 0


Condition: TypeAlias = Callable[[Caller], Verdict]


def as_address(address: Address, family: int, wrong_family: int) -> Endpoint:
    """Return an address that a program has given for a socket of a family (Windows' number).

    Raises WSAEFAULT for what is no address, the code ``wrong_family`` for one of another family.
    """
    try:
        host, port = address[:2]
        found = constants.AF_INET6 if len(packed(host)) == 16 else constants.AF_INET
    except (TypeError, ValueError, AttributeError) as reason:
        raise error(constants.WSAEFAULT, "an address is a host's address as text, and a port") from reason
    if not isinstance(port, int) or not 0 <= port <= 0xFFFF:
        raise error(constants.WSAEFAULT, "a port is 0 to 65535", port=port)
    if found != family:
        raise error(wrong_family, "the address is of another family", address=address)
    bare, sign, scope = host.partition("%")
    if sign and not scope.isdecimal():
        # As the kernel gives it, so that equal addresses look the same; one that it does not know it will refuse.
        with contextlib.suppress(OSError):
            return Endpoint(f"{bare}%{socket.if_nametoindex(scope)}", port)
    return Endpoint(host, port)


def endpoint(name: SockAddr) -> Endpoint:
    """Return the address in a sockaddr as Python's sockets take it."""
    if isinstance(name, SOCKADDR_IN):
        return Endpoint(name.sin_addr, name.sin_port)
    scope = f"%{name.sin6_scope_id}" if name.sin6_scope_id else ""
    return Endpoint(name.sin6_addr + scope, name.sin6_port)


def sockaddr(host: str, port: int) -> SockAddr:
    """Return a SOCKADDR_IN, or a SOCKADDR_IN6 for a host with a colon; the scope id stands behind a percent sign."""
    bare, _, scope = host.partition("%")
    if ":" not in bare:
        return SOCKADDR_IN(port, bare)
    index = (int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)) if scope else 0
    return SOCKADDR_IN6(port, bare, 0, index)
