"""Overlapped receives and sends of one socket that wait for their turn, in the order in which they were begun (DP-36).

Served when the reactor, or a control connection, finds data or room. May not know: events, routines, who asked.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from multipoint import constants
from multipoint.bucket import Fate
from multipoint.errors import MultipointError, error
from multipoint.values import Address
from multipoint.wire import Endpoint

if TYPE_CHECKING:
    from multipoint.data import DataSocket

Message: TypeAlias = tuple[bytes, Endpoint]
# Called once, under the stack's lock: a result, or why there is none.
ReceiveEnd: TypeAlias = Callable[[Message | None, MultipointError | None], None]
SendEnd: TypeAlias = Callable[[int, MultipointError | None], None]


@dataclass(frozen=True)
class Receive:
    """A receive that waits."""

    flags: int
    end: ReceiveEnd


@dataclass(frozen=True)
class Send:
    """A send that waits."""

    data: bytes
    to: Address | None
    end: SendEnd


class Pending:
    """What is pending on a socket; every method is called under the stack's lock."""

    def __init__(self, sock: "DataSocket") -> None:
        self._sock = sock
        self._receives: list[Receive] = []
        self._sends: list[Send] = []
        # The first send waits for tokens, not for the kernel.
        self._is_held = False

    @property
    def wants_data(self) -> bool:
        """Tell whether a receive waits."""
        return bool(self._receives)

    @property
    def wants_room(self) -> bool:
        """Tell whether a send waits."""
        return bool(self._sends) and not self._is_held

    def receive(self, flags: int, end: ReceiveEnd) -> Message | None:
        """Return a message at once; None: ``end`` will be called. Raises what keeps it from being received."""
        self._sock.try_receive(flags)
        message = None if self._receives else self._sock.next_message(is_peek=bool(flags & constants.MSG_PEEK))
        if message is None:
            self._receives.append(Receive(flags, end))
            self._sock.attend()
        return message

    def send(self, data: bytes, to: Address | None, end: SendEnd) -> bool:
        """Send at once; False: ``end`` will be called. Raises what keeps it from being sent."""
        self._sock.check_send(data)
        if not self._sends and self._go(data, to):
            return True
        self._sends.append(Send(data, to, end))
        self._sock.attend()
        return False

    def serve(self) -> None:
        """Give those who wait what is there by now."""
        while self._receives:
            message, failure = self._look(self._receives[0].flags)
            if message is None and failure is None:
                break
            self._receives.pop(0).end(message, failure)
        while self._sends and not self._is_held and self._serve_send(self._sends[0]):
            self._sends.pop(0)

    def cancel(self) -> None:
        """End everything: the socket is closed (CL-24, SU-10)."""
        receives, sends = self._receives, self._sends
        self._receives, self._sends = [], []
        aborted = error(constants.WSA_OPERATION_ABORTED, "the socket was closed")
        for receive in receives:
            receive.end(None, aborted)
        for send in sends:
            send.end(0, aborted)

    def flush(self) -> None:
        """End all sends as if they had been carried out (IO-18)."""
        sends, self._sends = self._sends, []
        for send in sends:
            send.end(len(send.data), None)

    def _resume(self) -> None:
        self._is_held = False
        self.serve()
        self._sock.attend()

    def _look(self, flags: int) -> tuple[Message | None, MultipointError | None]:
        sock = self._sock
        has_message = sock.take_in()
        try:
            sock.check_refusal()
        except MultipointError as reason:
            return None, reason
        if has_message:
            return (sock.inbox[0] if flags & constants.MSG_PEEK else sock.pop()), None
        if sock.is_receive_shut:
            return None, error(constants.WSAESHUTDOWN, "receiving was shut down")
        if sock.ended is not None:
            return None, error(sock.ended or constants.WSAEDISCON, "the session has ended")
        return None, None

    def _serve_send(self, send: Send) -> bool:
        """Tell whether the send is over, well or not."""
        try:
            self._sock.check_send(send.data)
            is_over = self._go(send.data, send.to)
        except MultipointError as reason:
            send.end(0, reason)
            return True
        if is_over:
            send.end(len(send.data), None)
        return is_over

    def _go(self, data: bytes, to: Address | None) -> bool:
        """Hand a message to the kernel; False if it has to wait for room, or for tokens (QS-27)."""
        sock = self._sock
        fate, when = sock.quality.offer(len(data), time.monotonic())
        if fate is Fate.HOLD:
            self._is_held = True
            sock.stack.reactor.call_at(when, self._resume)
            return False
        if not sock.let_go(fate, len(data)):
            return True
        try:
            sock.send_now(data, to)
        except BlockingIOError:
            return False
        except MultipointError:
            raise
        except OSError as reason:
            raise sock.translated(reason) from reason
        return True
