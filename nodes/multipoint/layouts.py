"""The C structures of the documentation (C.8, C.9) as objects that can be packed and unpacked.

They are mutable, as in C: the program fills them, or hands them over to be filled. ``pack()`` gives the bytes of the
64-bit Windows layout, little endian, ``unpack(data)`` reads them and ignores what follows; too few bytes or impossible
values are a DecodingError. Addresses of hosts are text. Families are Windows numbers.

May not know: what the values mean.
"""

import uuid
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Any, ClassVar, Self

from multipoint.constants import (
    AF_INET,
    AF_INET6,
    FD_MAX_EVENTS,
    MAX_PROTOCOL_CHAIN,
    WSADESCRIPTION_LEN,
    WSAPROTOCOL_LEN,
    WSASYS_STATUS_LEN,
)
from multipoint.errors import DecodingError

NO_PROVIDER = uuid.UUID(int=0)


def take(layout: Struct, data: bytes | bytearray | memoryview, what: str) -> tuple[int, ...]:
    """Unpack the beginning of ``data``; DecodingError if it is too short."""
    if len(data) < layout.size:
        raise DecodingError(f"{what} has {layout.size} bytes, there are {len(data)}")
    return layout.unpack_from(data)


@dataclass
class SOCKADDR_IN:
    """An IPv4 address and port, 16 bytes."""

    sin_port: int = 0
    sin_addr: str = "0.0.0.0"
    sin_family: int = AF_INET
    layout: ClassVar[Struct] = Struct("<H2s4s8x")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 16 bytes of the structure."""
        return self.layout.pack(self.sin_family, _port(self.sin_port), IPv4Address(self.sin_addr).packed)

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the beginning of ``data``."""
        family, port, address = _fields(cls.layout, data, "sockaddr_in")
        return cls(int.from_bytes(port, "big"), str(IPv4Address(address)), family)


@dataclass
class SOCKADDR_IN6:
    """An IPv6 address and port, 28 bytes."""

    sin6_port: int = 0
    sin6_addr: str = "::"
    sin6_flowinfo: int = 0
    sin6_scope_id: int = 0
    sin6_family: int = AF_INET6
    layout: ClassVar[Struct] = Struct("<H2sI16sI")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 28 bytes of the structure."""
        address = IPv6Address(self.sin6_addr).packed
        return self.layout.pack(
            self.sin6_family, _port(self.sin6_port), self.sin6_flowinfo, address, self.sin6_scope_id
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the beginning of ``data``."""
        family, port, flowinfo, address, scope_id = _fields(cls.layout, data, "sockaddr_in6")
        return cls(int.from_bytes(port, "big"), str(IPv6Address(address)), flowinfo, scope_id, family)


@dataclass
class WSABUF:
    """A length and the memory it counts; ``buf`` None is NULL. The program owns the memory."""

    len: int = 0
    buf: bytes | bytearray | memoryview | None = None


@dataclass
class WSANETWORKEVENTS:
    """The events that WSAEnumNetworkEvents found, and an error code for each bit, 44 bytes."""

    lNetworkEvents: int = 0
    iErrorCode: list[int] = field(default_factory=lambda: [0] * FD_MAX_EVENTS)
    layout: ClassVar[Struct] = Struct("<11i")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 44 bytes of the structure."""
        return self.layout.pack(self.lNetworkEvents, *self.iErrorCode)

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the beginning of ``data``."""
        events, *codes = take(cls.layout, data, "WSANETWORKEVENTS")
        return cls(events, codes)


@dataclass
class WSADATA:
    """What WSAStartup tells about the stack, 408 bytes."""

    wVersion: int = 0
    wHighVersion: int = 0
    iMaxSockets: int = 0
    iMaxUdpDg: int = 0
    szDescription: str = ""
    szSystemStatus: str = ""
    layout: ClassVar[Struct] = Struct(f"<4HQ{WSADESCRIPTION_LEN + 1}s{WSASYS_STATUS_LEN + 1}s6x")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 408 bytes of the structure; texts that are too long are cut."""
        description = _text(self.szDescription, WSADESCRIPTION_LEN)
        status = _text(self.szSystemStatus, WSASYS_STATUS_LEN)
        return self.layout.pack(
            self.wVersion, self.wHighVersion, self.iMaxSockets, self.iMaxUdpDg, 0, description, status
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the beginning of ``data``."""
        version, high, sockets, datagram, _, description, status = _fields(cls.layout, data, "WSADATA")
        return cls(version, high, sockets, datagram, _string(description), _string(status))


@dataclass
class WSAPROTOCOL_INFO:
    """An entry of the catalogue, 372 bytes (628 with wide characters)."""

    dwServiceFlags1: int = 0
    dwServiceFlags2: int = 0
    dwServiceFlags3: int = 0
    dwServiceFlags4: int = 0
    dwProviderFlags: int = 0
    ProviderId: uuid.UUID = NO_PROVIDER
    dwCatalogEntryId: int = 0
    ChainLen: int = 1
    ChainEntries: tuple[int, ...] = (0,) * MAX_PROTOCOL_CHAIN
    iVersion: int = 0
    iAddressFamily: int = 0
    iMaxSockAddr: int = 0
    iMinSockAddr: int = 0
    iSocketType: int = 0
    iProtocol: int = 0
    iProtocolMaxOffset: int = 0
    iNetworkByteOrder: int = 0
    iSecurityScheme: int = 0
    dwMessageSize: int = 0
    dwProviderReserved: int = 0
    szProtocol: str = ""
    layout: ClassVar[Struct] = Struct("<5I16sII7I5i3i3I")
    size: ClassVar[int] = layout.size + WSAPROTOCOL_LEN + 1
    wide_size: ClassVar[int] = layout.size + 2 * (WSAPROTOCOL_LEN + 1)

    def pack(self, wide: bool = False) -> bytes:
        """Return the structure as WSAEnumProtocolsA gives it, or as WSAEnumProtocolsW does (``wide``)."""
        numbers = self.layout.pack(
            *(self.dwServiceFlags1, self.dwServiceFlags2, self.dwServiceFlags3, self.dwServiceFlags4),
            *(self.dwProviderFlags, self.ProviderId.bytes_le, self.dwCatalogEntryId),
            *(self.ChainLen, *self.ChainEntries),
            *(self.iVersion, self.iAddressFamily, self.iMaxSockAddr, self.iMinSockAddr, self.iSocketType),
            *(self.iProtocol, self.iProtocolMaxOffset, self.iNetworkByteOrder, self.iSecurityScheme),
            *(self.dwMessageSize, self.dwProviderReserved),
        )
        return numbers + _name(self.szProtocol, wide)

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview, wide: bool = False) -> Self:
        """Read the structure from the beginning of ``data``."""
        size = cls.wide_size if wide else cls.size
        fields = _fields(cls.layout, data, "WSAPROTOCOL_INFO")
        if len(data) < size:
            raise DecodingError(f"WSAPROTOCOL_INFO has {size} bytes, there are {len(data)}")
        flags, (provider, entry, chain), chained, rest = fields[:5], fields[5:8], fields[8:15], fields[15:]
        name = _string(bytes(data[cls.layout.size : size]), wide)
        values: list[Any] = [*flags, uuid.UUID(bytes_le=provider), entry, chain, chained, *rest, name]
        return cls(*values)


@dataclass
class LINGER:
    """What closesocket does with data not yet sent, 4 bytes; ``l_linger`` in seconds."""

    l_onoff: int = 0
    l_linger: int = 0
    layout: ClassVar[Struct] = Struct("<HH")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 4 bytes of the structure."""
        return self.layout.pack(self.l_onoff, self.l_linger)

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the beginning of ``data``."""
        return cls(*take(cls.layout, data, "linger"))


def _port(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _fields(layout: Struct, data: bytes | bytearray | memoryview, what: str) -> tuple[Any, ...]:
    # Mixed types; each caller knows them from its layout.
    return take(layout, data, what)


def _text(text: str, room: int) -> bytes:
    return text.encode("ascii", "replace")[:room]


def _name(text: str, wide: bool) -> bytes:
    width = 2 if wide else 1
    encoded = text.encode("utf-16-le") if wide else text.encode("ascii", "replace")
    return encoded[: WSAPROTOCOL_LEN * width].ljust((WSAPROTOCOL_LEN + 1) * width, b"\0")


def _string(data: bytes, wide: bool = False) -> str:
    try:
        return data.decode("utf-16-le" if wide else "ascii").partition("\0")[0]
    except UnicodeDecodeError as error:
        raise DecodingError(f"a name is not text: {error}") from error
