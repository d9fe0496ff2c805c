"""The catalogue: which providers there are, which entry a socket gets, which flags go with it (A.3, SU-14 to SU-22).

Four provider classes, one for each quadrant, for IPv4 and IPv6. May not know: sockets; dialects.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from multipoint import constants
from multipoint.constants import AF_INET, AF_INET6
from multipoint.datagram import HEADER_SIZE
from multipoint.errors import error
from multipoint.kinds import Kind, Plane, ProviderClass
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6, WSAPROTOCOL_INFO

PROVIDER_VERSION = 1
# JL-17, D-20: an SSM receiver names its group and up to this many sources in one row of addresses.
MAX_SOURCES = 10
# An IP packet has at most 65,535 bytes; IPv4 counts its own header (20) among them, IPv6 doesn't; UDP's has 8.
MAX_MESSAGE = {AF_INET: 65_507, AF_INET6: 65_527}

# IP itself ends at 255; numbers above are the project's own (A.3).
PROTOCOLS = {
    ProviderClass.MCAST: constants.IPPROTO_UDP,
    ProviderClass.SSM: 301,
    ProviderClass.P2MP: 302,
    ProviderClass.CONF: 303,
}
_CONNECTIONLESS = (
    constants.XP1_CONNECTIONLESS
    | constants.XP1_MESSAGE_ORIENTED
    | constants.XP1_SUPPORT_MULTIPOINT
    | constants.XP1_QOS_SUPPORTED
)
_CONNECTED = (
    constants.XP1_MESSAGE_ORIENTED
    | constants.XP1_GRACEFUL_CLOSE
    | constants.XP1_CONNECT_DATA
    | constants.XP1_DISCONNECT_DATA
    | constants.XP1_SUPPORT_MULTIPOINT
    | constants.XP1_MULTIPOINT_CONTROL_PLANE
    | constants.XP1_QOS_SUPPORTED
)
SERVICES = {
    ProviderClass.MCAST: _CONNECTIONLESS | constants.XP1_SUPPORT_BROADCAST,
    ProviderClass.SSM: _CONNECTIONLESS | constants.XP1_MULTIPOINT_DATA_PLANE,
    ProviderClass.P2MP: _CONNECTED | constants.XP1_MULTIPOINT_DATA_PLANE,
    ProviderClass.CONF: _CONNECTED,
}
TYPES = {
    ProviderClass.MCAST: constants.SOCK_DGRAM,
    ProviderClass.SSM: constants.SOCK_DGRAM,
    ProviderClass.P2MP: constants.SOCK_SEQPACKET,
    ProviderClass.CONF: constants.SOCK_SEQPACKET,
}
_PROVIDER_FLAGS = {
    ProviderClass.MCAST: constants.PFL_MATCHES_PROTOCOL_ZERO,
    ProviderClass.SSM: 0,
    # SU-18: one protocol with both kinds of data plane, so two entries
    ProviderClass.P2MP: constants.PFL_MULTIPLE_PROTO_ENTRIES,
    ProviderClass.CONF: constants.PFL_MULTIPLE_PROTO_ENTRIES,
}
_NAMES = {
    ProviderClass.MCAST: "IP multicast",
    ProviderClass.SSM: "Source-specific multicast",
    ProviderClass.P2MP: "Point-to-multipoint",
    ProviderClass.CONF: "Conference",
}
# The ids of entries are made from their names in this space, so they are the same in every process.
_ID_SPACE = uuid.UUID("5d0a6d0e-6c6f-4f69-9e6c-6a6f696e6c62")

MULTIPOINT_FLAGS = (
    constants.WSA_FLAG_MULTIPOINT_C_ROOT
    | constants.WSA_FLAG_MULTIPOINT_C_LEAF
    | constants.WSA_FLAG_MULTIPOINT_D_ROOT
    | constants.WSA_FLAG_MULTIPOINT_D_LEAF
)
KNOWN_FLAGS = MULTIPOINT_FLAGS | constants.WSA_FLAG_OVERLAPPED | constants.WSA_FLAG_NO_HANDLE_INHERIT
_CONTROL_FLAGS = {constants.WSA_FLAG_MULTIPOINT_C_ROOT: Plane.ROOT, constants.WSA_FLAG_MULTIPOINT_C_LEAF: Plane.LEAF}
_DATA_FLAGS = {constants.WSA_FLAG_MULTIPOINT_D_ROOT: Plane.ROOT, constants.WSA_FLAG_MULTIPOINT_D_LEAF: Plane.LEAF}


@dataclass(frozen=True)
class Entry:
    """A provider class for one family."""

    provider: ProviderClass
    family: int

    @property
    def number(self) -> int:
        """Its dwCatalogEntryId."""
        return 1000 + 10 * self.provider + (6 if self.family == AF_INET6 else 4)

    @property
    def protocol(self) -> int:
        """Its protocol number."""
        return PROTOCOLS[self.provider]

    @property
    def socket_type(self) -> int:
        """Its socket type."""
        return TYPES[self.provider]

    @property
    def address_size(self) -> int:
        """The size of one address of its family."""
        return SOCKADDR_IN6.size if self.family == AF_INET6 else SOCKADDR_IN.size

    @property
    def max_message(self) -> int:
        """SU-20: its largest message; sessions with a header of their own have so much less room."""
        header = HEADER_SIZE if self.provider.is_control_rooted else 0
        return MAX_MESSAGE[self.family] - header

    def info(self, has_quality: bool = True) -> WSAPROTOCOL_INFO:
        """Return the entry as WSAEnumProtocols shows it, a new object each time; quality of service can be left out."""
        name = f"{_NAMES[self.provider]} over IPv{6 if self.family == AF_INET6 else 4}"
        longest = self.address_size * (1 + MAX_SOURCES if self.provider is ProviderClass.SSM else 1)
        return WSAPROTOCOL_INFO(
            dwServiceFlags1=SERVICES[self.provider] & ~(0 if has_quality else constants.XP1_QOS_SUPPORTED),
            dwProviderFlags=_PROVIDER_FLAGS[self.provider],
            ProviderId=uuid.uuid5(_ID_SPACE, name),
            dwCatalogEntryId=self.number,
            ChainLen=constants.BASE_PROTOCOL,
            iVersion=PROVIDER_VERSION,
            iAddressFamily=self.family,
            iMaxSockAddr=longest,
            iMinSockAddr=self.address_size,
            iSocketType=self.socket_type,
            iProtocol=self.protocol,
            iNetworkByteOrder=constants.BIGENDIAN,
            iSecurityScheme=constants.SECURITY_PROTOCOL_NONE,
            dwMessageSize=self.max_message,
            szProtocol=name,
        )


# SU-22: a stable order; the first that fits wins.
CATALOGUE = tuple(Entry(provider, family) for family in (AF_INET, AF_INET6) for provider in ProviderClass)


def visible(protocols: Sequence[int] | None, has_quality: bool = True) -> list[WSAPROTOCOL_INFO]:
    """Return the entries that WSAEnumProtocols shows; a list of protocols ends at a 0 (SU-14)."""
    infos = [entry.info(has_quality) for entry in CATALOGUE]
    shown = [info for info in infos if not info.dwProviderFlags & constants.PFL_HIDDEN]
    if protocols is None:
        return shown
    wanted = list(protocols)
    if 0 in wanted:
        del wanted[wanted.index(0) :]
    return [info for info in shown if info.iProtocol in wanted]


def choose(family: int, socket_type: int, protocol: int, info: WSAPROTOCOL_INFO | None, flags: int) -> Entry:
    """Return the entry for the arguments of WSASocket (SK-02 to SK-06); raises CallerError.

    Types and protocols that only ordinary sockets have (SOCK_STREAM) are not found here.
    """
    if flags & ~KNOWN_FLAGS:
        raise error(constants.WSAEINVAL, "unknown flags", flags=hex(flags & ~KNOWN_FLAGS))
    if info is not None:
        return _given(family, socket_type, protocol, info)
    # SK-04: each step narrows the choice, and has a code of its own for narrowing it to nothing.
    found = [entry for entry in CATALOGUE if family in (entry.family, constants.AF_UNSPEC)]
    _found(found, constants.WSAEAFNOSUPPORT, family=family)
    typed = [entry for entry in found if socket_type in (entry.socket_type, 0)]
    _found(typed, constants.WSAESOCKTNOSUPPORT, type=socket_type)
    if protocol:
        spoken = [entry for entry in found if entry.protocol == protocol]
        _found(spoken, constants.WSAEPROTONOSUPPORT, protocol=protocol)
        typed = [entry for entry in typed if entry in spoken]
        _found(typed, constants.WSAEPROTOTYPE, protocol=protocol, type=socket_type)
    fitting = [entry for entry in typed if kind_is_offered(entry.provider, flags)]
    # D-05: the flags take part in choosing; flags that no entry honours are wrong flags (D-03).
    _found(fitting, constants.WSAEINVAL, flags=hex(flags))
    return fitting[0]


def kind(provider: ProviderClass, flags: int) -> Kind | None:
    """Return the kind of socket that the flags make, None for an ordinary one; CallerError for SK-08 to SK-12."""
    if not flags & MULTIPOINT_FLAGS:
        return None
    control = [plane for flag, plane in _CONTROL_FLAGS.items() if flags & flag]
    data = [plane for flag, plane in _DATA_FLAGS.items() if flags & flag]
    if len(control) != 1 or len(data) != 1:
        raise error(constants.WSAEINVAL, "a multipoint socket has one C flag and one D flag", flags=hex(flags))
    if Plane.ROOT in control and not provider.is_control_rooted:
        raise error(constants.WSAEINVAL, "C_ROOT needs a rooted control plane", provider=provider.name)
    if Plane.ROOT in data and not provider.is_data_rooted:
        raise error(constants.WSAEINVAL, "D_ROOT needs a rooted data plane", provider=provider.name)
    return Kind(provider, control[0], data[0])


def kind_is_offered(provider: ProviderClass, flags: int) -> bool:
    """Say whether ``kind`` accepts the flags."""
    control, data = flags & constants.WSA_FLAG_MULTIPOINT_C_ROOT, flags & constants.WSA_FLAG_MULTIPOINT_D_ROOT
    return (not control or provider.is_control_rooted) and (not data or provider.is_data_rooted)


def _given(family: int, socket_type: int, protocol: int, info: WSAPROTOCOL_INFO) -> Entry:
    # SK-03, SK-05, SK-06
    if not isinstance(info, WSAPROTOCOL_INFO):
        raise error(constants.WSAEFAULT, "lpProtocolInfo is no WSAPROTOCOL_INFO")
    for entry in CATALOGUE:
        if entry.number == info.dwCatalogEntryId and info in (entry.info(), entry.info(has_quality=False)):
            break
    else:
        raise error(constants.WSAEINVAL, "lpProtocolInfo is no entry of the catalogue", entry=info.dwCatalogEntryId)
    given = {constants.WSAEAFNOSUPPORT: (family, entry.family)}
    given[constants.WSAESOCKTNOSUPPORT] = (socket_type, entry.socket_type)
    given[constants.WSAEPROTONOSUPPORT] = (protocol, entry.protocol)
    for code, (asked, offered) in given.items():
        if asked not in (constants.FROM_PROTOCOL_INFO, 0, offered):
            raise error(code, "lpProtocolInfo says otherwise", asked=asked, offered=offered)
    return entry


def _found(entries: Sequence[Entry], code: int, **facts: object) -> None:
    if not entries:
        raise error(code, "no provider fits", **facts)
