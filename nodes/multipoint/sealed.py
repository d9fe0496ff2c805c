"""The data plane of rooted and conference sessions: sealed datagrams over a kernel socket.

Each datagram names session and sender, counts up, and carries a tag (``datagram``). What a stranger sends, or somebody
sends twice, reaches no program (D-37); it is counted. May not know: control connections, events.
"""

import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeAlias

from multipoint.codec import as_endpoint
from multipoint.counters import Cause
from multipoint.datagram import HEAD, HEADER_SIZE, VERSION_BYTE, Authenticator, ReplayWindow, decode_datagram
from multipoint.errors import DecodingError
from multipoint.kernel import Membership
from multipoint.wire import Endpoint

MAX_DATAGRAM = 65536
# As Python's sockets take it.
SocketName: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
# Who throws away so many in a row looks after something else first: no flood keeps the stack to itself.
MAX_DROPPED = 64
# The head as who sends and receives many sees it: what all datagrams of one sender begin with, and the sequence number.
BEGINNING_SIZE = HEAD.size - 8
LINE = Struct(f"!{BEGINNING_SIZE}sQ")


@dataclass
class Source:
    """Somebody whose datagrams are welcome."""

    authenticator: Authenticator
    # DP-16: what a receive gives as the sender's address; None: where the datagram came from
    address: Endpoint | None
    window: ReplayWindow = field(default_factory=ReplayWindow)


class SealedSocket:
    """Sends as one sender of one session, and receives from known sources."""

    def __init__(self, sock: socket.socket, session: int, sender: int) -> None:
        self.sock = sock
        # In a conference all members share one key, and a source is made when it is first heard.
        self.anyone: Authenticator | None = None
        # Told why a datagram reaches no program.
        self.on_drop: Callable[[Cause], None] = lambda _: None
        self.membership: Membership | None = None
        self._session = session
        # By what their datagrams begin with.
        self._sources: dict[bytes, Source] = {}
        self._beginning = self._beginning_of(sender)
        self._sequence = itertools.count()
        self._lock = threading.Lock()

    def welcome(self, sender: int, source: Source) -> None:
        """Let in what this sender sends from now on."""
        self._sources[self._beginning_of(sender)] = source

    def forget(self, sender: int) -> None:
        """Let in nothing more of this sender."""
        self._sources.pop(self._beginning_of(sender), None)

    def mark(self) -> int:
        """Return a sequence number: all that was sent has lower ones, all that will be sent has higher ones."""
        return next(self._sequence)

    def send(self, payload: bytes | bytearray | memoryview, to: SocketName, authenticator: Authenticator) -> int:
        """Send one message; return its length. Raises OSError."""
        # What encode_datagram does, with fewer steps.
        head = LINE.pack(self._beginning, next(self._sequence))
        self.sock.sendto(b"".join((head, authenticator.tag(head, payload), payload)), to)
        return len(payload)

    def receive(self) -> tuple[bytes, Endpoint]:
        """Return the next genuine message and its sender. Raises OSError, BlockingIOError if none is among the next."""
        for _ in range(MAX_DROPPED):
            # Known sources have known addresses, and asking for them has its price.
            data, where = self.sock.recvfrom(MAX_DATAGRAM) if self.anyone else (self.sock.recv(MAX_DATAGRAM), ())
            payload = data[HEADER_SIZE:]
            source = self._judge(data, payload)
            if isinstance(source, Source):
                return payload, source.address or as_endpoint(where)
            self.on_drop(source)
        raise BlockingIOError

    def _judge(self, data: bytes, payload: bytes) -> Source | Cause:
        """Return whose datagram this is, or why it is nobody's."""
        if len(data) < HEADER_SIZE:
            return Cause.NO_DATAGRAM
        beginning, sequence = LINE.unpack_from(data)
        source = self._sources.get(beginning)
        if source is None:
            return self._judge_newcomer(data, payload)
        if not source.authenticator.is_genuine(data, payload):
            return Cause.FORGED
        # Two threads may read at once.
        with self._lock:
            return source if source.window.admit(sequence) else Cause.REPLAYED

    def _judge_newcomer(self, data: bytes, payload: bytes) -> Source | Cause:
        try:
            session, sender, sequence, _ = decode_datagram(data)
        except DecodingError:
            return Cause.NO_DATAGRAM
        if self.anyone is None or session != self._session:
            return Cause.STRANGER
        if not self.anyone.is_genuine(data, payload):
            return Cause.FORGED
        with self._lock:
            # Another thread may have heard it first.
            # What it has said before that may be somebody's replay, as nobody has told us where it began to count.
            newcomer = Source(self.anyone, None, ReplayWindow(sequence))
            source = self._sources.setdefault(self._beginning_of(sender), newcomer)
            return source if source.window.admit(sequence) else Cause.REPLAYED

    def _beginning_of(self, sender: int) -> bytes:
        return HEAD.pack(VERSION_BYTE, 0, 0, sender, self._session, 0)[:BEGINNING_SIZE]
