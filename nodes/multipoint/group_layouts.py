"""The C structures of the multicast options and filters (C.9), in Windows' layout and, for the kernel, in Linux'.

Where the systems differ: ip_mreq_source has its last two fields the other way round, families have other numbers, and
the modes of a filter are swapped. ``pack_linux()`` gives the kernel's bytes. May not know: sockets, the options.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import ClassVar, Self

from multipoint.constants import AF_INET, AF_INET6, MCAST_EXCLUDE, WSAEINVAL
from multipoint.errors import DecodingError, error
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6
from multipoint.linux import LINUX_FAMILIES, LINUX_FILTER_MODES

Readable = bytes | bytearray | memoryview
Sockaddr = SOCKADDR_IN | SOCKADDR_IN6
STORAGE_SIZE = 128


def _v4(address: str) -> bytes:
    return IPv4Address(address).packed


def _cut(data: Readable, size: int, what: str) -> bytes:
    if len(data) < size:
        raise DecodingError(f"{what} has {size} bytes, there are {len(data)}")
    return bytes(data[:size])


def pack_storage(address: Sockaddr) -> bytes:
    """Return a sockaddr_storage, 128 bytes."""
    return address.pack().ljust(STORAGE_SIZE, b"\0")


def unpack_storage(data: Readable) -> Sockaddr:
    """Read a sockaddr_storage of either family."""
    raw = _cut(data, STORAGE_SIZE, "sockaddr_storage")
    family = int.from_bytes(raw[:2], "little")
    if family not in (AF_INET, AF_INET6):
        raise DecodingError(f"family {family} has no groups")
    return SOCKADDR_IN.unpack(raw) if family == AF_INET else SOCKADDR_IN6.unpack(raw)


def pack_linux_storage(address: Sockaddr) -> bytes:
    """Return a sockaddr_storage with Linux' number of the family."""
    data = pack_storage(address)
    family = LINUX_FAMILIES[int.from_bytes(data[:2], "little")]
    return family.to_bytes(2, "little") + data[2:]


def _linux_mode(mode: int) -> int:
    if mode not in LINUX_FILTER_MODES:
        raise error(WSAEINVAL, "no filter mode", mode=mode)
    return LINUX_FILTER_MODES[mode]


@dataclass
class IP_MREQ:
    """A group and the address of an interface, 8 bytes, the same in both systems."""

    imr_multiaddr: str = "0.0.0.0"
    imr_interface: str = "0.0.0.0"
    size: ClassVar[int] = 8

    def pack(self) -> bytes:
        """Return the 8 bytes of the structure."""
        return _v4(self.imr_multiaddr) + _v4(self.imr_interface)

    pack_linux = pack

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        raw = _cut(data, cls.size, "ip_mreq")
        return cls(str(IPv4Address(raw[:4])), str(IPv4Address(raw[4:])))


@dataclass
class IP_MREQ_SOURCE:
    """A group, a source and the address of an interface, 12 bytes."""

    imr_multiaddr: str = "0.0.0.0"
    imr_sourceaddr: str = "0.0.0.0"
    imr_interface: str = "0.0.0.0"
    size: ClassVar[int] = 12

    def pack(self) -> bytes:
        """Return the 12 bytes of the structure."""
        return _v4(self.imr_multiaddr) + _v4(self.imr_sourceaddr) + _v4(self.imr_interface)

    def pack_linux(self) -> bytes:
        """Return the kernel's 12 bytes: there the interface comes before the source."""
        return _v4(self.imr_multiaddr) + _v4(self.imr_interface) + _v4(self.imr_sourceaddr)

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        raw = _cut(data, cls.size, "ip_mreq_source")
        return cls(*(str(IPv4Address(raw[place : place + 4])) for place in (0, 4, 8)))


@dataclass
class IPV6_MREQ:
    """A group and the index of an interface, 20 bytes, the same in both systems."""

    ipv6mr_multiaddr: str = "::"
    ipv6mr_interface: int = 0
    layout: ClassVar[Struct] = Struct("<16sI")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 20 bytes of the structure."""
        return self.layout.pack(IPv6Address(self.ipv6mr_multiaddr).packed, self.ipv6mr_interface)

    pack_linux = pack

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        group, interface = cls.layout.unpack(_cut(data, cls.size, "ipv6_mreq"))
        return cls(str(IPv6Address(group)), interface)


@dataclass
class GROUP_REQ:
    """A group of either family and the index of an interface, 136 bytes."""

    gr_interface: int = 0
    gr_group: Sockaddr = field(default_factory=SOCKADDR_IN)
    layout: ClassVar[Struct] = Struct("<I4x128s")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 136 bytes of the structure."""
        return self._pack(pack_storage)

    def pack_linux(self) -> bytes:
        """Return the kernel's 136 bytes."""
        return self._pack(pack_linux_storage)

    def _pack(self, storage: Callable[[Sockaddr], bytes]) -> bytes:
        return self.layout.pack(self.gr_interface, storage(self.gr_group))

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        interface, group = cls.layout.unpack(_cut(data, cls.size, "group_req"))
        return cls(interface, unpack_storage(group))


@dataclass
class GROUP_SOURCE_REQ:
    """A group and a source of either family and the index of an interface, 264 bytes."""

    gsr_interface: int = 0
    gsr_group: Sockaddr = field(default_factory=SOCKADDR_IN)
    gsr_source: Sockaddr = field(default_factory=SOCKADDR_IN)
    layout: ClassVar[Struct] = Struct("<I4x128s128s")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 264 bytes of the structure."""
        return self._pack(pack_storage)

    def pack_linux(self) -> bytes:
        """Return the kernel's 264 bytes."""
        return self._pack(pack_linux_storage)

    def _pack(self, storage: Callable[[Sockaddr], bytes]) -> bytes:
        return self.layout.pack(self.gsr_interface, storage(self.gsr_group), storage(self.gsr_source))

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        interface, group, source = cls.layout.unpack(_cut(data, cls.size, "group_source_req"))
        return cls(interface, unpack_storage(group), unpack_storage(source))


@dataclass
class IP_MSFILTER:
    """The whole filter of an IPv4 group, 16 bytes and 4 for each source."""

    imsf_multiaddr: str = "0.0.0.0"
    imsf_interface: str = "0.0.0.0"
    imsf_fmode: int = MCAST_EXCLUDE
    imsf_slist: list[str] = field(default_factory=list)
    layout: ClassVar[Struct] = Struct("<4s4sII")

    def pack(self) -> bytes:
        """Return the bytes of the structure."""
        return self._pack(self.imsf_fmode)

    def pack_linux(self) -> bytes:
        """Return the kernel's bytes: the modes are swapped."""
        return self._pack(_linux_mode(self.imsf_fmode))

    def _pack(self, mode: int) -> bytes:
        sources = b"".join(map(_v4, self.imsf_slist))
        head = self.layout.pack(_v4(self.imsf_multiaddr), _v4(self.imsf_interface), mode, len(self.imsf_slist))
        return head + sources

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        group, interface, mode, count = cls.layout.unpack(_cut(data, cls.layout.size, "ip_msfilter"))
        sources = _cut(data, cls.layout.size + 4 * count, "ip_msfilter")[cls.layout.size :]
        listed = [str(IPv4Address(sources[place : place + 4])) for place in range(0, len(sources), 4)]
        return cls(str(IPv4Address(group)), str(IPv4Address(interface)), mode, listed)


@dataclass
class GROUP_FILTER:
    """The whole filter of a group of either family, 144 bytes and 128 for each source."""

    gf_interface: int = 0
    gf_group: Sockaddr = field(default_factory=SOCKADDR_IN)
    gf_fmode: int = MCAST_EXCLUDE
    gf_slist: list[Sockaddr] = field(default_factory=list)
    layout: ClassVar[Struct] = Struct("<I4x128sII")

    def pack(self) -> bytes:
        """Return the bytes of the structure."""
        return self._pack(self.gf_fmode, pack_storage)

    def pack_linux(self) -> bytes:
        """Return the kernel's bytes: the modes are swapped."""
        return self._pack(_linux_mode(self.gf_fmode), pack_linux_storage)

    def _pack(self, mode: int, storage: Callable[[Sockaddr], bytes]) -> bytes:
        head = self.layout.pack(self.gf_interface, storage(self.gf_group), mode, len(self.gf_slist))
        return head + b"".join(map(storage, self.gf_slist))

    @classmethod
    def unpack(cls, data: Readable) -> Self:
        """Read the structure from the beginning of ``data``."""
        interface, group, mode, count = cls.layout.unpack(_cut(data, cls.layout.size, "group_filter"))
        sources = _cut(data, cls.layout.size + STORAGE_SIZE * count, "group_filter")[cls.layout.size :]
        listed = [
            unpack_storage(sources[place : place + STORAGE_SIZE]) for place in range(0, len(sources), STORAGE_SIZE)
        ]
        return cls(interface, unpack_storage(group), mode, listed)
