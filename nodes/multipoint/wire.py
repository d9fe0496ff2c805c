"""The control protocol of rooted sessions: its messages, and their bytes both ways (docs/protocol.md).

Control runs over TCP, one connection for each leaf of a session. Each side begins with a Hello; then come frames:
kind (1 byte), 0 (1 byte), length (2 bytes), body. ``encode`` and ``Decoder`` are mirror images made from one table.
Datagrams of rooted sessions are in ``datagram``, handed on here for those who look at packets.

May not know: states. Whether a message may come now is for ``root`` and ``leaf`` to say.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Annotated, TypeAlias, TypeVar

from multipoint.codec import TRUTH, Address, Endpoint, Flows, Maybe, Reader, Record, UpTo, choice, exactly, number
from multipoint.datagram import Datagram, decode_datagram, encode_datagram
from multipoint.errors import DecodingError
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass

__all__ = [
    "MAX_CHAT",
    "MAX_CONNECT_DATA",
    "MAX_OBJECTS",
    "VERSION",
    "Accept",
    "Cancel",
    "Chat",
    "Close",
    "Confirm",
    "Datagram",
    "Decoder",
    "Endpoint",
    "FlowAnswer",
    "FlowRequest",
    "Heartbeat",
    "Hello",
    "Invite",
    "Join",
    "Leave",
    "Membership",
    "Message",
    "Proof",
    "Reject",
    "decode_datagram",
    "encode",
    "encode_datagram",
    "make_proof",
]

T = TypeVar("T")

# 0xD7 first: no text protocol begins so, a stranger is known by his first byte.
MAGIC = b"\xd7MPL"
# Another major version is refused; a minor one adds messages that are sent only to a peer who knows them.
VERSION = (1, 0)
# JL-13, D-22
MAX_CONNECT_DATA = 1024
# As long as the longest message of a rooted session (the catalogue says so too); a frame's length has two bytes.
MAX_CHAT = 65_487
# Provider-specific objects: the documented ones have 20 bytes at most, ADSPEC and policy are the long ones.
MAX_OBJECTS = 4096
KEY_SIZE = 32
NONCE_SIZE = 16

U8, U16, U32, U64 = number(1), number(2), number(4), number(8)
CONNECT_DATA = UpTo(MAX_CONNECT_DATA)
CAPACITY = number(2, MAX_CONNECT_DATA)
KEY = exactly(KEY_SIZE)
FLOWS = Flows(UpTo(MAX_OBJECTS))


@dataclass(frozen=True)
class Hello:
    """Both: who speaks. First on every connection; its layout stays for all versions."""

    major: Annotated[int, U8] = VERSION[0]
    minor: Annotated[int, U8] = VERSION[1]
    # The speaker goes on only with a peer who proves that he knows the pre-shared key.
    wants_proof: Annotated[bool, TRUTH] = False
    nonce: Annotated[bytes, exactly(NONCE_SIZE)] = bytes(NONCE_SIZE)


@dataclass(frozen=True)
class Proof:
    """Both: I know the pre-shared key (``make_proof``)."""

    tag: Annotated[bytes, KEY]


@dataclass(frozen=True)
class Join:
    """Leaf to root: let me in (JL-50)."""

    provider: Annotated[ProviderClass, choice(ProviderClass)]
    control: Annotated[Plane, choice(Plane)]
    data: Annotated[Plane, choice(Plane)]
    role: Annotated[JoinRole, choice(JoinRole)]
    # Where the leaf takes and sends data.
    data_address: Annotated[Endpoint, Address()]
    # JL-62: how much callee data the joiner can take.
    capacity: Annotated[int, CAPACITY] = 0
    caller_data: Annotated[bytes, CONNECT_DATA] = b""
    qos: Annotated[QOS | None, Maybe(FLOWS)] = None


@dataclass(frozen=True)
class Invite:
    """Root to leaf: come in (JL-51). ``role`` is the root's towards this leaf (JL-55)."""

    provider: Annotated[ProviderClass, choice(ProviderClass)]
    control: Annotated[Plane, choice(Plane)]
    data: Annotated[Plane, choice(Plane)]
    role: Annotated[JoinRole, choice(JoinRole)]
    session: Annotated[int, U64]
    capacity: Annotated[int, CAPACITY] = 0
    caller_data: Annotated[bytes, CONNECT_DATA] = b""
    qos: Annotated[QOS | None, Maybe(FLOWS)] = None


@dataclass(frozen=True)
class Accept:
    """The side that was asked: yes (AC-12, AC-23). A leaf says where it takes and sends data, a root need not."""

    control: Annotated[Plane, choice(Plane)]
    data: Annotated[Plane, choice(Plane)]
    data_address: Annotated[Endpoint | None, Maybe(Address())] = None
    callee_data: Annotated[bytes, CONNECT_DATA] = b""
    qos: Annotated[QOS | None, Maybe(FLOWS)] = None


@dataclass(frozen=True)
class Reject:
    """The side that was asked: no. ``code`` is the WSA code with which the join fails at the joiner."""

    code: Annotated[int, U16]


@dataclass(frozen=True)
class Membership:
    """All that a member needs to take part in the data plane."""

    session: Annotated[int, U64]
    # The sender id in the header of this member's datagrams; the root's is 0.
    member: Annotated[int, U32]
    group: Annotated[Endpoint, Address()]
    root: Annotated[Endpoint, Address()]
    # Authenticates what goes to the group; known to all members.
    group_key: Annotated[bytes, KEY]
    # Authenticates what this member sends to the root; known to these two.
    member_key: Annotated[bytes, KEY]
    heartbeat_ms: Annotated[int, U32]
    silence_ms: Annotated[int, U32]
    has_side_chats: Annotated[bool, TRUTH] = True
    # What the root sends from now on counts up from here; what it has sent before is none of this member's business.
    sequence: Annotated[int, U64] = 0


@dataclass(frozen=True)
class Confirm:
    """Root to leaf, after either side's Accept: the leaf is a member from now on. It settles races with Cancel."""

    membership: Annotated[Membership, Record(Membership)]


@dataclass(frozen=True)
class Cancel:
    """Joiner: forget that I asked (JL-39). If the Accept was faster, the member is gone at once."""


@dataclass(frozen=True)
class Leave:
    """Both: this leaf and this session part in order (CL-07, CL-08)."""

    disconnect_data: Annotated[bytes, CONNECT_DATA] = b""


@dataclass(frozen=True)
class Close:
    """Root: the session ends in order (CL-01)."""

    disconnect_data: Annotated[bytes, CONNECT_DATA] = b""


@dataclass(frozen=True)
class Heartbeat:
    """Both: I am here (CL-21). ``stamp`` is the speaker's clock; ``echo`` the last stamp heard, for round trips."""

    stamp: Annotated[int, U64] = 0
    echo: Annotated[int, U64] = 0


@dataclass(frozen=True)
class Chat:
    """Both: one message of a side chat (DP-30, DP-32)."""

    data: Annotated[bytes, UpTo(MAX_CHAT)]


@dataclass(frozen=True)
class FlowRequest:
    """Both: these are the speaker's flows from now on, if you agree (QS-09, EV-45)."""

    number: Annotated[int, U32]
    qos: Annotated[QOS, FLOWS]


@dataclass(frozen=True)
class FlowAnswer:
    """Both: the answer to the FlowRequest of that number; ``code`` 0 is yes, with the flows granted."""

    number: Annotated[int, U32]
    code: Annotated[int, U16]
    qos: Annotated[QOS, FLOWS]


Message: TypeAlias = (
    Hello | Proof | Join | Invite | Accept | Reject | Confirm | Cancel | Leave | Close | Heartbeat | Chat
    | FlowRequest | FlowAnswer
)  # fmt: skip

KINDS: dict[int, type[Message]] = {
    1: Proof,
    2: Join,
    3: Invite,
    4: Accept,
    5: Reject,
    6: Confirm,
    7: Cancel,
    8: Leave,
    9: Close,
    10: Heartbeat,
    11: Chat,
    12: FlowRequest,
    13: FlowAnswer,
}
_NUMBERS = {cls: number for number, cls in KINDS.items()}
_RECORDS: dict[int, Record[Message]] = {number: Record(cls) for number, cls in KINDS.items()}
_MOST = {number: record.most for number, record in _RECORDS.items()}
_HELLO = Record(Hello)
HELLO_SIZE = len(MAGIC) + _HELLO.most
_HEADER = Struct("!BBH")
HEADER_SIZE = _HEADER.size


def encode(message: Message) -> bytes:
    """Return the message's bytes; ValueError if a value does not fit its field."""
    if isinstance(message, Hello):
        return MAGIC + _HELLO.write(message)
    kind = _NUMBERS[type(message)]
    body = _RECORDS[kind].write(message)
    return _HEADER.pack(kind, 0, len(body)) + body


def body_limit(kind: int) -> int:
    """Return the most bytes that the body of a message of this kind may have."""
    return _MOST[kind]


class Decoder:
    """Turns the bytes of one connection into messages; the first is the Hello.

    Feed what was read, then take messages until there is none; never more than one frame beyond what was fed last is
    kept. After a DecodingError, and after the Hello of another major version, the rest of the connection is worthless.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._is_greeted = False
        self._error: DecodingError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes that arrived."""
        if self._error is None:
            self._bytes += data

    def next(self) -> Message | None:
        """Return the next message, None if it is not complete yet. Raises DecodingError, from then on each time."""
        if self._error is not None:
            raise self._error
        try:
            return self._next()
        except DecodingError as error:
            self._error = error
            self._bytes.clear()
            raise

    def messages(self) -> Iterator[Message]:
        """Yield the messages that are complete."""
        while (message := self.next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if not self._is_greeted:
            return self._hello()
        if len(self._bytes) < 2:
            return None
        kind, zero = self._bytes[:2]
        if kind not in KINDS or zero:
            raise DecodingError(f"there is no message of kind {kind} with flags {zero}")
        if len(self._bytes) < HEADER_SIZE:
            return None
        length = _HEADER.unpack_from(self._bytes)[2]
        if length > body_limit(kind):
            raise DecodingError(f"{KINDS[kind].__name__} has at most {_MOST[kind]} bytes, {length} are announced")
        if len(self._bytes) < HEADER_SIZE + length:
            return None
        return _read(_RECORDS[kind], self._take(HEADER_SIZE + length)[HEADER_SIZE:])

    def _hello(self) -> Hello | None:
        if not MAGIC.startswith(self._bytes[: len(MAGIC)]):
            raise DecodingError("the peer does not speak this protocol")
        if len(self._bytes) < HELLO_SIZE:
            return None
        hello = _read(_HELLO, self._take(HELLO_SIZE)[len(MAGIC) :])
        self._is_greeted = True
        if hello.major != VERSION[0]:
            self._error = DecodingError(f"the peer speaks version {hello.major}, we speak {VERSION[0]}")
        return hello

    def _take(self, count: int) -> bytes:
        taken = bytes(self._bytes[:count])
        del self._bytes[:count]
        return taken


def make_proof(key: bytes, is_caller: bool, own_nonce: bytes, peer_nonce: bytes) -> bytes:
    """Return the tag of the Proof that the side which connected (``is_caller``), or the other, sends."""
    # Longer keys than BLAKE2s takes are hashed first; who speaks is part of it, so that no tag can be sent back.
    short = hashlib.blake2s(key).digest()
    return hashlib.blake2s(bytes([is_caller]) + own_nonce + peer_nonce, key=short).digest()


def _read(record: Record[T], body: bytes) -> T:
    reader = Reader(body)
    message = record.read(reader)
    reader.finish()
    return message
