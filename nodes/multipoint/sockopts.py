"""setsockopt and getsockopt: a table from level and option to what it means (SK-35 to SK-40). Windows' layouts.

May not know: pointers; how sockets do it.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import NamedTuple

from multipoint import constants, groupopts, kernel
from multipoint.errors import error
from multipoint.layouts import LINGER, WSAPROTOCOL_INFO
from multipoint.sockets import MultipointSocket

Getter = Callable[[MultipointSocket], bytes]
Setter = Callable[[MultipointSocket, bytes], None]


class Option(NamedTuple):
    """How an option is read and written; None where it can't be."""

    get: Getter | None
    set: Setter | None


def set_option(sock: MultipointSocket, level: int, name: int, value: bytes) -> None:
    """Set an option. Raises WSAEINVAL for an unknown level, WSAENOPROTOOPT for one that the socket does not have."""
    sock.check_open()
    option = _find(sock, level, name)
    if option.set is None:
        raise error(constants.WSAENOPROTOOPT, "can't be set", level=hex(level), option=hex(name))
    option.set(sock, value)


def get_option(sock: MultipointSocket, level: int, name: int) -> bytes:
    """Return an option's value."""
    sock.check_open()
    option = _find(sock, level, name)
    if option.get is None:
        raise error(constants.WSAENOPROTOOPT, "can't be read", level=hex(level), option=hex(name))
    return option.get(sock)


def _find(sock: MultipointSocket, level: int, name: int) -> Option:
    options = _OPTIONS.get(level)
    if options is None:
        raise error(constants.WSAEINVAL, "no such level", level=hex(level))
    if name not in options or sock.entry.family not in _FAMILIES.get(level, (sock.entry.family,)):
        raise error(constants.WSAENOPROTOOPT, "no such option", level=hex(level), option=hex(name))
    return options[name]


def _number(value: bytes) -> int:
    if len(value) < 4:
        raise error(constants.WSAEFAULT, "the value has 4 bytes", length=len(value))
    return int.from_bytes(value[:4], "little", signed=True)


def _packed(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


def _flag(name: str) -> Option:
    def store(sock: MultipointSocket, value: bytes) -> None:
        setattr(sock.options, name, _number(value) != 0)

    return Option(lambda sock: _packed(int(getattr(sock.options, name))), store)


def _size(name: str, default: Callable[[], int]) -> Option:
    """A buffer's size; the system's as long as it is left to it."""

    def store(sock: MultipointSocket, value: bytes) -> None:
        sock.set_sizes_and_broadcast(**{name: max(_number(value), 0)})

    def load(sock: MultipointSocket) -> bytes:
        chosen = getattr(sock.options, name)
        try:
            return _packed(default() if chosen is None else chosen)
        except OSError as reason:
            raise sock.translated(reason) from reason

    return Option(load, store)


def _milliseconds(name: str) -> Option:
    def load(sock: MultipointSocket) -> bytes:
        return _packed(round((getattr(sock.options, name) or 0) * 1000))

    def store(sock: MultipointSocket, value: bytes) -> None:
        # A DWORD, not an int: the longest time is 49 days.
        setattr(sock.options, name, (_number(value) & 0xFFFFFFFF) / 1000 or None)

    return Option(load, store)


def _info(sock: MultipointSocket) -> WSAPROTOCOL_INFO:
    return sock.entry.info(sock.stack.settings.quality)


def _take_error(sock: MultipointSocket) -> bytes:
    code, sock.last_error = sock.last_error, 0
    return _packed(code)


def _set_linger(sock: MultipointSocket, value: bytes) -> None:
    if len(value) < LINGER.size:
        raise error(constants.WSAEFAULT, "linger has 4 bytes", length=len(value))
    linger = LINGER.unpack(value)
    sock.options.linger = linger.l_onoff != 0, linger.l_linger


def _set_no_linger(sock: MultipointSocket, value: bytes) -> None:
    sock.options.linger = _number(value) == 0, sock.options.linger[1]


def _set_conditional_accept(sock: MultipointSocket, value: bytes) -> None:
    if sock.is_listening:
        raise error(constants.WSAEINVAL, "is listening already")
    sock.options.conditional_accept = _number(value) != 0


def _set_interface4(sock: MultipointSocket, value: bytes) -> None:
    """An address of the interface, or its index as 0.x.x.x; 0 is the system's choice (DP-06)."""
    if len(value) < 4:
        raise error(constants.WSAEFAULT, "an IPv4 address has 4 bytes", length=len(value))
    _set_interface(sock, groupopts.interface_at(sock, str(IPv4Address(value[:4]))))


def _set_interface6(sock: MultipointSocket, value: bytes) -> None:
    _set_interface(sock, _number(value))


def _set_interface(sock: MultipointSocket, index: int) -> None:
    groupopts.check_interface(index)
    sock.set_interface(index)


_INTERFACE_INDEX: Getter = lambda sock: _packed(sock.options.interface)  # noqa: E731 - a cell of the tables below
_SCOPE = Option(lambda sock: _packed(sock.options.scope), lambda sock, value: sock.set_scope(_number(value)))
# IO-12: the receiving side, as SIO_MULTIPOINT_LOOPBACK
_LOOPBACK = Option(
    lambda sock: _packed(int(sock.options.loopback)), lambda sock, value: sock.set_loopback(_number(value) != 0)
)

# SK-35: whose sockets a level is for; SOL_SOCKET is for all.
_FAMILIES: Mapping[int, tuple[int, ...]] = {
    constants.IPPROTO_IP: (constants.AF_INET,),
    constants.IPPROTO_IPV6: (constants.AF_INET6,),
}
_OPTIONS: Mapping[int, Mapping[int, Option]] = {
    constants.SOL_SOCKET: {
        constants.SO_REUSEADDR: _flag("reuse_address"),
        constants.SO_EXCLUSIVEADDRUSE: _flag("exclusive_address"),
        constants.SO_BROADCAST: Option(
            lambda sock: _packed(int(sock.options.broadcast)),
            lambda sock, value: sock.set_sizes_and_broadcast(broadcast=int(_number(value) != 0)),
        ),
        constants.SO_RCVBUF: _size("receive_buffer", kernel.default_receive_size),
        constants.SO_SNDBUF: _size("send_buffer", kernel.default_send_size),
        constants.SO_CONDITIONAL_ACCEPT: Option(
            lambda sock: _packed(int(sock.options.conditional_accept)), _set_conditional_accept
        ),
        constants.SO_RCVTIMEO: _milliseconds("receive_timeout_s"),
        constants.SO_SNDTIMEO: _milliseconds("send_timeout_s"),
        constants.SO_LINGER: Option(
            lambda sock: LINGER(int(sock.options.linger[0]), int(sock.options.linger[1])).pack(), _set_linger
        ),
        constants.SO_DONTLINGER: Option(lambda sock: _packed(int(not sock.options.linger[0])), _set_no_linger),
        constants.SO_ERROR: Option(_take_error, None),
        constants.SO_TYPE: Option(lambda sock: _packed(sock.entry.socket_type), None),
        constants.SO_ACCEPTCONN: Option(lambda sock: _packed(int(sock.is_listening)), None),
        constants.SO_MAX_MSG_SIZE: Option(lambda sock: _packed(sock.entry.max_message), None),
        constants.SO_GROUP_ID: Option(lambda sock: _packed(sock.group_id), None),
        constants.SO_PROTOCOL_INFOA: Option(lambda sock: _info(sock).pack(), None),
        constants.SO_PROTOCOL_INFOW: Option(lambda sock: _info(sock).pack(wide=True), None),
    },
    constants.IPPROTO_IP: {
        constants.IP_MULTICAST_IF: Option(_INTERFACE_INDEX, _set_interface4),
        constants.IP_MULTICAST_TTL: _SCOPE,
        constants.IP_MULTICAST_LOOP: _LOOPBACK,
        **{name: Option(None, setter) for name, setter in groupopts.setters(constants.IPPROTO_IP).items()},
    },
    constants.IPPROTO_IPV6: {
        constants.IPV6_MULTICAST_IF: Option(_INTERFACE_INDEX, _set_interface6),
        constants.IPV6_MULTICAST_HOPS: _SCOPE,
        constants.IPV6_MULTICAST_LOOP: _LOOPBACK,
        **{name: Option(None, setter) for name, setter in groupopts.setters(constants.IPPROTO_IPV6).items()},
    },
}
