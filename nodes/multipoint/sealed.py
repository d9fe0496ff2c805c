"""The data plane of rooted and conference sessions: sealed datagrams over a kernel socket.

Each datagram names session and sender, counts up, and carries a tag (``datagram``). What a stranger sends, or somebody
sends twice, reaches no program (D-37); it is counted. May not know: control connections, events.
"""

import itertools
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field

from multipoint.datagram import Authenticator, Datagram, ReplayWindow, decode_datagram, encode_datagram
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
        self.dropped: Counter[str] = Counter()
        self.membership: Membership | None = None
        self._session = session
        self._sender = sender
        self._sequence = itertools.count()
        self._lock = threading.Lock()

    def send(self, payload: bytes | bytearray | memoryview, to: Endpoint, authenticator: Authenticator) -> int:
        """Send one message; return its length. Raises OSError."""
        data = encode_datagram(
            Datagram(self._session, self._sender, next(self._sequence), bytes(payload)), authenticator
        )
        self.sock.sendto(data, (to.host, to.port))
        return len(payload)

    def receive(self) -> tuple[bytes, Endpoint]:
        """Return the next genuine message and its sender. Raises OSError, BlockingIOError if none is here."""
        while True:
            data, where = self.sock.recvfrom(MAX_DATAGRAM)
            sender = Endpoint(where[0], where[1])
            with self._lock:
                datagram, source = self._judge(data, sender)
            if datagram and source:
                return datagram.payload, source.address or sender

    def _judge(self, data: bytes, sender: Endpoint) -> tuple[Datagram | None, Source | None]:
        try:
            datagram = decode_datagram(data)
        except DecodingError:
            return self._drop("garbage")
        source = self.sources.get(datagram.sender) or self._newcomer()
        if datagram.session != self._session or source is None:
            return self._drop("stranger")
        if source.host is not None and source.host != sender.host:
            return self._drop("wrong host")
        if not source.authenticator.is_genuine(data):
            return self._drop("forged")
        if not source.window.admit(datagram.sequence):
            return self._drop("replayed")
        self.sources.setdefault(datagram.sender, source)
        return datagram, source

    def _newcomer(self) -> Source | None:
        return Source(self.anyone, None) if self.anyone else None

    def _drop(self, why: str) -> tuple[None, None]:
        self.dropped[why] += 1
        return None, None
