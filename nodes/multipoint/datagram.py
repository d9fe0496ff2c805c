"""Datagrams of rooted and conference sessions: header, authentication tag, replay window (docs/protocol.md).

Plain IP multicast has no header. The tag is keyed BLAKE2s over header and payload; whoever holds the key decides what
is genuine, so the group's key keeps strangers out, and a member's own key keeps the other members out of what it sends
to the root. May not know: sockets, who the senders are.
"""

import hashlib
from hmac import compare_digest
from struct import Struct
from typing import NamedTuple

from multipoint.errors import DecodingError

HEAD = Struct("!BBHIQQ")
TAG_SIZE = 16
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
    """Makes and checks tags with one key of at most 32 bytes."""

    def __init__(self, key: bytes) -> None:
        # Keyed once, then copied: half the price of keying for each datagram.
        self._keyed = hashlib.blake2s(key=key, digest_size=TAG_SIZE)

    def tag(self, head: bytes, payload: bytes | bytearray | memoryview) -> bytes:
        """Return the tag for a header without its tag, and a payload."""
        state = self._keyed.copy()
        state.update(head)
        state.update(payload)
        return state.digest()

    def is_genuine(self, data: bytes, payload: bytes | None = None) -> bool:
        """Say whether a whole datagram carries the tag that this key gives; ``payload``: what was cut out of it."""
        state = self._keyed.copy()
        state.update(data[:HEAD_SIZE])
        state.update(data[HEADER_SIZE:] if payload is None else payload)
        return compare_digest(data[HEAD_SIZE:HEADER_SIZE], state.digest())


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

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    def admit(self, sequence: int) -> bool:
        """Say whether the number is new, and remember it. Ask only about genuine datagrams."""
        ahead = sequence - self._highest
        if ahead > 0:
            kept = self._seen << ahead if ahead < REPLAY_WINDOW else 0
            self._seen = (kept | 1) & _ALL_SEEN
            self._highest = sequence
            return True
        if -ahead >= REPLAY_WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True
