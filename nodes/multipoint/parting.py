"""How sockets of rooted sessions end: shutdown, disconnect data, lingering (B.7).

May not know: which end of the session this is; ``_part`` of each kind says what its end means.
"""

import time
from abc import abstractmethod

from multipoint import constants
from multipoint.chatting import ChattingSocket
from multipoint.connection import Connection
from multipoint.errors import error
from multipoint.threads import Wait
from multipoint.wire import MAX_CONNECT_DATA


class PartingSocket(ChattingSocket):
    """A socket whose end the other side is told."""

    # What the other side said with its end (CL-35).
    disconnect_data = b""
    # Connections of members on which all is said, and that wait for the other side to hang up. Nobody else keeps a
    # program that lingers.
    parting: tuple[Connection, ...] = ()

    @abstractmethod
    def check_joined(self) -> None:
        """Raise WSAENOTCONN if there is no session to end."""

    @abstractmethod
    def part(self, data: bytes) -> None:
        """Tell the other side that this one ends in order."""

    def shutdown(self, how: int, data: bytes | None = None) -> None:
        """End one direction or both; it neither closes nor waits (CL-28). ``data``: disconnect data (CL-34)."""
        with self.stack.lock:
            self.check_idle()
            self.check_how(how)
            if self.ended:
                # CL-30: there is nothing left to end in order.
                raise error(self.ended, "the session has ended")
            if data and len(data) > MAX_CONNECT_DATA:
                raise error(constants.WSAEFAULT, "too much disconnect data", length=len(data), most=MAX_CONNECT_DATA)
            self.check_joined()
            self.is_receive_shut |= how != constants.SD_SEND
            if how != constants.SD_RECEIVE and not self.is_send_shut:
                self.is_send_shut = True
                self.part(data or b"")
            self.serve_pending()
            self.attend()

    def receive_disconnect(self, room: int | None) -> bytes:
        """Stop receiving; return what the other side said with its end, empty before that (CL-35)."""
        with self.stack.lock:
            self.check_idle()
            if self.ended is None:
                self.check_joined()
            if room is not None and room < len(self.disconnect_data):
                raise error(constants.WSAEFAULT, "no room for the disconnect data", needed=len(self.disconnect_data))
            self.is_receive_shut = True
            self.serve_pending()
            self.attend()
            return self.disconnect_data

    # Lingering: close waits until the other side has taken note

    def linger(self, seconds: float) -> None:
        """Wait for the graceful end; break off when the time is over (CL-22), or the call cancelled (DI-07)."""
        for connection in self.parting:
            connection.on_end = self.wake
        with Wait(self.wake_from_outside) as wait:
            self.changed.wait_for(lambda: wait.is_cancelled or self._all_over, seconds)
        self.break_off()
        wait.check()

    @property
    def _all_over(self) -> bool:
        return all(connection.is_over for connection in self.parting)

    def break_off(self) -> None:
        """End without a word what has not ended yet."""
        for connection in self.parting:
            if not connection.is_over:
                connection.link.abort(time.monotonic())
                connection.pump()
        self.wake()
