"""Datagrams of rooted and conference sessions: header, authentication tag, replay window (docs/protocol.md).

Plain IP multicast has no header. The tag is the first half of SHA-256 over key, header and payload; who holds the key
decides what is genuine, so the group's key keeps strangers out, and a member's own key keeps the other members out of
what it sends to the root. May not know: sockets, who the senders are.

Why not HMAC: its second hash doubles the price of a short message. It is there because who knows a whole hash can go on
hashing; half of one tells too little for that (Coron et al., CRYPTO 2005, "chop-MD"). Why not BLAKE2: processors have
instructions for SHA-256.
"""

import hashlib
from hmac import compare_digest
from struct import Struct
from typing import NamedTuple

from multipoint.errors import DecodingError

HEAD = Struct("!BBHIQQ")
TAG_SIZE = 16
_BLOCK = hashlib.sha256().block_size
HEAD_SIZE = HEAD.size
HEADER_SIZE = HEAD_SIZE + TAG_SIZE
# The first byte says version 1; the two after it are kept for later versions and are 0.
VERSION_BYTE = 0xD1
ROOT_SENDER = 0
# A datagram that comes this late is taken for a replay.
REPLAY_WINDOW = 1024
_ALL_SEEN = (1 << REPLAY_WINDOW) - 1


class Datagram(NamedTuple):
    """What a datagram says; believe it only if an Authenticator finds it genuine."""

    session: int
    sender: int
    sequence: int
    payload: bytes


# Faster than calling the class, which is done for each datagram.
_new = tuple.__new__


class Authenticator:
    """Makes and checks tags with one key of at most 64 bytes."""

    def __init__(self, key: bytes) -> None:
        # The key fills the first block, so what is left to do for each datagram is to copy the state behind it.
        self._keyed = hashlib.sha256(key.ljust(_BLOCK, b"\0"))

    def tag(self, head: bytes, payload: bytes | bytearray | memoryview) -> bytes:
        """Return the tag for a header without its tag, and a payload."""
        state = self._keyed.copy()
        state.update(head)
        state.update(payload)
        return state.digest()[:TAG_SIZE]

    def is_genuine(self, data: bytes, payload: bytes | None = None) -> bool:
        """Say whether a whole datagram carries the tag that this key gives; ``payload``: what was cut out of it."""
        expected = self.tag(data[:HEAD_SIZE], data[HEADER_SIZE:] if payload is None else payload)
        return compare_digest(data[HEAD_SIZE:HEADER_SIZE], expected)


def encode_datagram(datagram: Datagram, authenticator: Authenticator) -> bytes:
    """Return the bytes of a datagram, tag included."""
    session, sender, sequence, payload = datagram
    head = HEAD.pack(VERSION_BYTE, 0, 0, sender, session, sequence)
    return head + authenticator.tag(head, payload) + payload


def decode_datagram(data: bytes) -> Datagram:
    """Return what a datagram says, its tag unchecked; DecodingError if it is none of ours."""
    if len(data) < HEADER_SIZE:
        raise DecodingError(f"a datagram has at least {HEADER_SIZE} bytes, there are {len(data)}")
    version, flags, reserved, sender, session, sequence = HEAD.unpack_from(data)
    if version != VERSION_BYTE or flags or reserved:
        raise DecodingError(f"no datagram of version 1 begins with {data[:4].hex()}")
    return _new(Datagram, (session, sender, sequence, data[HEADER_SIZE:]))


class ReplayWindow:
    """Remembers which sequence numbers of one sender have come, the last 1,024 one by one."""

    def __init__(self, first: int = 0) -> None:
        """``first``: the lowest number that is welcome."""
        # The number that comes next if none is lost. All from _noted to here have come.
        self._next = first
        # What came before _noted: bit 0 is the number just before it.
        self._noted = first
        self._seen = _ALL_SEEN

    def admit(self, sequence: int) -> bool:
        """Say whether the number is new, and remember it. Ask only about genuine datagrams."""
        if sequence == self._next:
            self._next = sequence + 1
            return True
        self._note(self._next, _ALL_SEEN)
        if sequence > self._next:
            self._note(sequence, 0)
            self._next = sequence + 1
            return True
        behind = self._next - 1 - sequence
        if behind >= REPLAY_WINDOW or self._seen >> behind & 1:
            return False
        self._seen |= 1 << behind
        return True

    def _note(self, until: int, came: int) -> None:
        """Note of the numbers from _noted to ``until`` that all have come, or none."""
        count = min(until - self._noted, REPLAY_WINDOW)
        self._seen = (self._seen << count | came & (1 << count) - 1) & _ALL_SEEN
        self._noted = until
