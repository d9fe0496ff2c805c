"""Small codecs from which the messages of the control protocol are made: each one writes a value and reads it back.

A message says with each of its fields which codec it uses, ``role: Annotated[JoinRole, Choice(JoinRole)]``, so that
writing and reading can't drift apart, and so that the most bytes that a message may have are known before any is read.
Numbers are big endian. A value that can't be written is a ValueError (a mistake of ours), bytes that can't be read are
a DecodingError (a mistake of the peer).

May not know: which messages there are.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, get_type_hints

from multipoint.addresses import packed, unpacked
from multipoint.errors import DecodingError
from multipoint.flow import FLOWSPEC, QOS

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


class Endpoint(NamedTuple):
    """An IP address as text and a port: what Python's sockets take. A scope id does not travel, it is local."""

    host: str
    port: int


def as_endpoint(name: tuple[Any, ...]) -> Endpoint:
    """Return what Python's sockets give as an address, without what stands behind the port; faster than Endpoint()."""
    return tuple.__new__(Endpoint, name[:2])


class Reader:
    """Takes bytes from the front; running out of them is a DecodingError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise DecodingError(f"{count} bytes are wanted at {self._at}, there are {len(self._data) - self._at}")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def finish(self) -> None:
        """Raise DecodingError if something is left."""
        if self._at != len(self._data):
            raise DecodingError(f"{len(self._data) - self._at} bytes are left over")


class Codec(Protocol[T]):
    """Writes a value and reads it back; ``most`` is the number of bytes that it never exceeds."""

    @property
    def most(self) -> int:
        """The most bytes that a value may take."""

    def write(self, value: T) -> bytes:
        """Return the value's bytes; ValueError if it has none."""

    def read(self, reader: Reader) -> T:
        """Take the value's bytes from the reader; DecodingError if they are none."""


@dataclass(frozen=True)
class Number:
    """An unsigned number of so many bytes, at most ``limit``."""

    most: int
    limit: int | None = None

    def write(self, value: int) -> bytes:
        """Return the number's bytes."""
        if not 0 <= value <= self._highest:
            raise ValueError(f"{value} is not between 0 and {self._highest}")
        return value.to_bytes(self.most, "big")

    def read(self, reader: Reader) -> int:
        """Take a number."""
        value = int.from_bytes(reader.take(self.most), "big")
        if value > self._highest:
            raise DecodingError(f"{value} is more than {self._highest}")
        return value

    @cached_property
    def _highest(self) -> int:
        return (1 << 8 * self.most) - 1 if self.limit is None else self.limit


@dataclass(frozen=True)
class Choice(Generic[E]):
    """One of a closed set of values, in one byte."""

    values: type[E]
    most: int = 1

    def write(self, value: E) -> bytes:
        """Return the value's byte."""
        return bytes([value.value])

    def read(self, reader: Reader) -> E:
        """Take one of the values."""
        (number,) = reader.take(1)
        value = self._members.get(number)
        if value is None:
            raise DecodingError(f"{number} is no {self.values.__name__}")
        return value

    @cached_property
    def _members(self) -> dict[int, E]:
        # Calling the class takes three times as long.
        return {member.value: member for member in self.values}


@dataclass(frozen=True)
class Truth:
    """A claim: one byte, 0 or 1."""

    most: int = 1

    def write(self, value: bool) -> bytes:
        """Return 0 or 1 as a byte."""
        return bytes([value])

    def read(self, reader: Reader) -> bool:
        """Take a claim."""
        (number,) = reader.take(1)
        if number > 1:
            raise DecodingError(f"{number} is neither 0 nor 1")
        return number == 1


TRUTH = Truth()
PORT = Number(2)


@dataclass(frozen=True)
class Exactly:
    """So many bytes, no more, no less."""

    most: int

    def write(self, value: bytes) -> bytes:
        """Return the bytes."""
        if len(value) != self.most:
            raise ValueError(f"{len(value)} bytes instead of {self.most}")
        return bytes(value)

    def read(self, reader: Reader) -> bytes:
        """Take the bytes."""
        return reader.take(self.most)


@dataclass(frozen=True)
class UpTo:
    """Any number of bytes up to ``limit``: a length of two bytes and the bytes."""

    limit: int

    @property
    def most(self) -> int:
        """The most bytes, length included."""
        return 2 + self.limit

    def write(self, value: bytes) -> bytes:
        """Return the length and the bytes."""
        return self._length.write(len(value)) + bytes(value)

    def read(self, reader: Reader) -> bytes:
        """Take a length and so many bytes."""
        return reader.take(self._length.read(reader))

    @cached_property
    def _length(self) -> Number:
        return Number(2, self.limit)


@dataclass(frozen=True)
class Maybe(Generic[T]):
    """A value that may be missing: a claim whether it is there, then the value."""

    codec: Codec[T]

    @property
    def most(self) -> int:
        """The most bytes, the claim included."""
        return 1 + self.codec.most

    def write(self, value: T | None) -> bytes:
        """Return 0, or 1 and the value's bytes."""
        return b"\0" if value is None else b"\1" + self.codec.write(value)

    def read(self, reader: Reader) -> T | None:
        """Take the claim, and the value if it is there."""
        return self.codec.read(reader) if TRUTH.read(reader) else None


# By the length of an address
VERSIONS = {4: b"\4", 16: b"\6"}


@dataclass(frozen=True)
class Address:
    """An endpoint: 4 or 6, the address, the port."""

    most: int = 1 + 16 + 2

    def write(self, value: Endpoint) -> bytes:
        """Return family, address and port."""
        address = packed(value.host)
        return VERSIONS[len(address)] + address + PORT.write(value.port)

    def read(self, reader: Reader) -> Endpoint:
        """Take family, address and port."""
        (version,) = reader.take(1)
        if version not in (4, 6):
            raise DecodingError(f"there is no IPv{version}")
        host = unpacked(reader.take(4 if version == 4 else 16))
        return Endpoint(host, PORT.read(reader))


@dataclass(frozen=True)
class Flows:
    """Flow specifications: both FLOWSPECs in their Windows layout, then the provider-specific objects."""

    objects: UpTo

    @property
    def most(self) -> int:
        """The most bytes."""
        return 2 * FLOWSPEC.size + self.objects.most

    def write(self, value: QOS) -> bytes:
        """Return the flows and the objects."""
        flows = value.SendingFlowspec.pack() + value.ReceivingFlowspec.pack()
        return flows + self.objects.write(value.objects)

    def read(self, reader: Reader) -> QOS:
        """Take the flows and the objects."""
        sending = FLOWSPEC.unpack(reader.take(FLOWSPEC.size))
        receiving = FLOWSPEC.unpack(reader.take(FLOWSPEC.size))
        return QOS.of(sending, receiving, self.objects.read(reader))


@dataclass(frozen=True)
class Record(Generic[T]):
    """A dataclass whose fields carry their codecs, one after the other."""

    cls: type[T]

    @cached_property
    def fields(self) -> tuple[tuple[str, Codec[Any]], ...]:
        """Name and codec of each field, in order."""
        hints = get_type_hints(self.cls, include_extras=True)
        return tuple((name, hint.__metadata__[0]) for name, hint in hints.items())

    @property
    def most(self) -> int:
        """The most bytes of all fields together."""
        return sum([codec.most for _, codec in self.fields])

    def write(self, value: T) -> bytes:
        """Return the fields' bytes."""
        return b"".join([codec.write(getattr(value, name)) for name, codec in self.fields])

    def read(self, reader: Reader) -> T:
        """Take the fields."""
        return self.cls(*[codec.read(reader) for _, codec in self.fields])
