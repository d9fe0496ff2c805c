"""The data plane of rooted and conference sessions: sealed datagrams over a kernel socket.

Each datagram names session and sender, counts up, and carries a tag (``datagram``). What a stranger sends, or somebody
sends twice, reaches no program (D-37); it is counted. May not know: control connections, events.
"""

import itertools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from multipoint.codec import as_endpoint
from multipoint.counters import Cause
from multipoint.datagram import HEAD, VERSION_BYTE, Authenticator, Datagram, ReplayWindow, decode_datagram
from multipoint.errors import DecodingError
from multipoint.kernel import Membership
from multipoint.wire import Endpoint

MAX_DATAGRAM = 65536


@dataclass
class Source:
    """Somebody whose datagrams are welcome."""

    authenticator: Authenticator
    # DP-16: what a receive gives as the sender's address; None: where the datagram came from
    address: Endpoint | None
    # The only host that may send as this source; None: any
    host: str | None = None
    window: ReplayWindow = field(default_factory=ReplayWindow)


class SealedSocket:
    """Sends as one sender of one session, and receives from known sources."""

    def __init__(self, sock: socket.socket, session: int, sender: int) -> None:
        self.sock = sock
        self.sources: dict[int, Source] = {}
        # In a conference all members share one key, and a source is made when it is first heard.
        self.anyone: Authenticator | None = None
        # Told why a datagram reaches no program.
        self.on_drop: Callable[[Cause], None] = lambda _: None
        self.membership: Membership | None = None
        self._session = session
        self._sender = sender
        self._sequence = itertools.count()
        self._lock = threading.Lock()

    def send(self, payload: bytes | bytearray | memoryview, to: Endpoint, authenticator: Authenticator) -> int:
        """Send one message; return its length. Raises OSError."""
        # What encode_datagram does, with fewer steps.
        head = HEAD.pack(VERSION_BYTE, 0, 0, self._sender, self._session, next(self._sequence))
        self.sock.sendto(b"".join((head, authenticator.tag(head, payload), payload)), to)
        return len(payload)

    def receive(self) -> tuple[bytes, Endpoint]:
        """Return the next genuine message and its sender. Raises OSError, BlockingIOError if none is here."""
        while True:
            data, where = self.sock.recvfrom(MAX_DATAGRAM)
            try:
                datagram = decode_datagram(data)
            except DecodingError:
                self.on_drop(Cause.NO_DATAGRAM)
                continue
            with self._lock:
                source = self._judge(data, datagram, where[0])
            if isinstance(source, Source):
                return datagram[3], source.address or as_endpoint(where)
            self.on_drop(source)

    def _judge(self, data: bytes, datagram: Datagram, host: str) -> Source | Cause:
        """Return whose datagram this is, or why it is nobody's."""
        session, sender, sequence, payload = datagram
        source = self.sources.get(sender) or self._newcomer()
        if session != self._session or source is None:
            return Cause.STRANGER
        if source.host is not None and source.host != host:
            return Cause.WRONG_HOST
        if not source.authenticator.is_genuine(data, payload):
            return Cause.FORGED
        if not source.window.admit(sequence):
            return Cause.REPLAYED
        if self.anyone:
            self.sources.setdefault(sender, source)
        return source

    def _newcomer(self) -> Source | None:
        return Source(self.anyone, None) if self.anyone else None
