"""From what the messages of the control protocol are made: places of one size, and codecs of values that vary.

A message says with each of its fields how it is written, ``role: Annotated[JoinRole, choice(JoinRole)]``, so that
writing and reading can't drift apart, and so that the most bytes that a message may have are known before any is read.
Places that stand side by side are written and read at one stroke: a join waits for each message that it needs.
Numbers are big endian. A value that can't be written is a ValueError (a mistake of ours), bytes that can't be read are
a DecodingError (a mistake of the peer).

May not know: which messages there are.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from operator import attrgetter
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
    """Return what Python's sockets give as an address, a scope id behind the host; faster than Endpoint()."""
    if len(name) == 4 and name[3]:
        return Endpoint(f"{name[0]}%{name[3]}", name[1])
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
            raise self._too_short(count)
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Return what the next bytes are by this layout."""
        try:
            values = layout.unpack_from(self._data, self._at)
        except struct.error:
            raise self._too_short(layout.size) from None
        self._at += layout.size
        return values

    def finish(self) -> None:
        """Raise DecodingError if something is left."""
        if self._at != len(self._data):
            raise DecodingError(f"{len(self._data) - self._at} bytes are left over")

    def _too_short(self, count: int) -> DecodingError:
        return DecodingError(f"{count} bytes are wanted at {self._at}, there are {len(self._data) - self._at}")


# Places: what has always as many bytes


@dataclass(frozen=True)
class Place(Generic[T]):
    """A value in so many bytes: its letter in a ``struct``, and what is to be done to it before and after that."""

    letter: str
    most: int
    # None: the value goes as it is.
    put: Callable[[T], int | bytes] | None = None
    get: Callable[[Any], T] | None = None


class _Table(dict[int, T]):
    """What the numbers mean that may stand in a place."""

    def __init__(self, what: str, meanings: Iterable[tuple[int, T]]) -> None:
        super().__init__(meanings)
        self._what = what

    def __missing__(self, number: int) -> T:
        raise DecodingError(f"{number} is no {self._what}")


def number(size: int, limit: int | None = None) -> Place[int]:
    """Return a place for an unsigned number, at most ``limit``."""
    letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    if limit is None:
        return Place(letter, size)
    most = limit

    def put(value: int) -> int:
        if value > most:
            raise ValueError(f"{value} is more than {most}")
        return value

    def get(value: int) -> int:
        if value > most:
            raise DecodingError(f"{value} is more than {most}")
        return value

    return Place(letter, size, put, get)


def choice(values: type[E]) -> Place[E]:
    """Return a place for one of a closed set of values, in one byte."""
    table = _Table(values.__name__, [(member.value, member) for member in values])
    # A member's ``value`` itself is a function of Python.
    return Place("B", 1, attrgetter("_value_"), table.__getitem__)


def exactly(size: int) -> Place[bytes]:
    """Return a place for so many bytes."""

    def put(value: bytes) -> bytes:
        # The struct module would cut or fill them.
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes instead of {size}")
        return value

    return Place(f"{size}s", size, put)


# A claim: one byte, 0 or 1
TRUTH: Place[bool] = Place("B", 1, None, _Table("claim", [(0, False), (1, True)]).__getitem__)


# Codecs: what varies


class Codec(Protocol[T]):
    """Writes a value and reads it back; ``most`` is the number of bytes that it never exceeds."""

    @property
    def most(self) -> int:
        """The most bytes that a value may take."""

    def write(self, value: T) -> bytes:
        """Return the value's bytes; ValueError if it has none."""

    def read(self, reader: Reader) -> T:
        """Take the value's bytes from the reader; DecodingError if they are none."""


_BYTE = struct.Struct("!B")
_LENGTH = struct.Struct("!H")
_IPV4, _IPV6 = struct.Struct("!4sH"), struct.Struct("!16sH")


@dataclass(frozen=True)
class UpTo:
    """Any number of bytes up to ``limit``: a length of two bytes and the bytes."""

    limit: int

    @property
    def most(self) -> int:
        """The most bytes, length included."""
        return _LENGTH.size + self.limit

    def write(self, value: bytes) -> bytes:
        """Return the length and the bytes."""
        if len(value) > self.limit:
            raise ValueError(f"{len(value)} bytes are more than {self.limit}")
        return _LENGTH.pack(len(value)) + value

    def read(self, reader: Reader) -> bytes:
        """Take a length and so many bytes."""
        (length,) = reader.unpack(_LENGTH)
        if length > self.limit:
            raise DecodingError(f"{length} bytes are more than {self.limit}")
        return reader.take(length)


@dataclass(frozen=True)
class Maybe(Generic[T]):
    """A value that may be missing: a claim whether it is there, then the value."""

    codec: Codec[T]

    @property
    def most(self) -> int:
        """The most bytes, the claim included."""
        return _BYTE.size + self.codec.most

    def write(self, value: T | None) -> bytes:
        """Return 0, or 1 and the value's bytes."""
        return b"\0" if value is None else b"\1" + self.codec.write(value)

    def read(self, reader: Reader) -> T | None:
        """Take the claim, and the value if it is there."""
        (claim,) = reader.unpack(_BYTE)
        if claim > 1:
            raise DecodingError(f"{claim} is no claim")
        return self.codec.read(reader) if claim else None


@dataclass(frozen=True)
class Address:
    """An endpoint: 4 or 6, the address, the port."""

    most: int = 1 + 16 + 2

    def write(self, value: Endpoint) -> bytes:
        """Return family, address and port."""
        address = packed(value.host)
        version, layout = (4, _IPV4) if len(address) == 4 else (6, _IPV6)
        return _BYTE.pack(version) + layout.pack(address, value.port)

    def read(self, reader: Reader) -> Endpoint:
        """Take family, address and port."""
        (version,) = reader.unpack(_BYTE)
        if version not in (4, 6):
            raise DecodingError(f"there is no IPv{version}")
        address, port = reader.unpack(_IPV4 if version == 4 else _IPV6)
        return as_endpoint((unpacked(address), port))


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


# Messages


class _Part(Protocol):
    """One or more fields of a message that are written and read together."""

    most: int

    def write(self, message: object) -> bytes:
        """Return the fields' bytes."""

    def read(self, reader: Reader) -> Sequence[Any]:
        """Take the fields' values."""


class _Places:
    """Fields that are places, side by side."""

    def __init__(self, names: Sequence[str], places: Sequence[Place[Any]]) -> None:
        self._names = names
        self._layout = struct.Struct("!" + "".join(place.letter for place in places))
        self._puts = [(index, place.put) for index, place in enumerate(places) if place.put]
        self._gets = [(index, place.get) for index, place in enumerate(places) if place.get]
        self.most = self._layout.size

    def write(self, message: object) -> bytes:
        """Return the fields' bytes."""
        values = [getattr(message, name) for name in self._names]
        for index, put in self._puts:
            values[index] = put(values[index])
        try:
            return self._layout.pack(*values)
        except struct.error as reason:
            raise ValueError(f"{values} do not fit: {reason}") from None

    def read(self, reader: Reader) -> Sequence[Any]:
        """Take the fields' values."""
        values = list(reader.unpack(self._layout))
        for index, get in self._gets:
            values[index] = get(values[index])
        return values


class _Single:
    """A field that varies."""

    def __init__(self, name: str, codec: Codec[Any]) -> None:
        self._name = name
        self._codec = codec
        self.most = codec.most

    def write(self, message: object) -> bytes:
        """Return the field's bytes."""
        return self._codec.write(getattr(message, self._name))

    def read(self, reader: Reader) -> Sequence[Any]:
        """Take the field's value."""
        return (self._codec.read(reader),)


class Record(Generic[T]):
    """A dataclass whose fields say how they are written, one after the other; ``most``: its most bytes."""

    def __init__(self, cls: type[T]) -> None:
        hints = get_type_hints(cls, include_extras=True)
        self._cls = cls
        self._names = tuple(hints)
        self._parts = _parts([(name, hint.__metadata__[0]) for name, hint in hints.items()])
        self.most = sum(part.most for part in self._parts)

    def write(self, value: T) -> bytes:
        """Return the fields' bytes."""
        return b"".join([part.write(value) for part in self._parts])

    def read(self, reader: Reader) -> T:
        """Take the fields."""
        values: list[Any] = []
        for part in self._parts:
            values += part.read(reader)
        # What the class itself would do, field by field, for it is frozen.
        message = object.__new__(self._cls)
        message.__dict__.update(zip(self._names, values, strict=True))
        return message


def _parts(fields: Sequence[tuple[str, Place[Any] | Codec[Any]]]) -> list[_Part]:
    parts: list[_Part] = []
    for are_places, group in groupby(fields, lambda field: isinstance(field[1], Place)):
        if are_places:
            names, places = zip(*group, strict=True)
            parts.append(_Places(names, places))
        else:
            parts += [_Single(name, codec) for name, codec in group if not isinstance(codec, Place)]
    return parts
