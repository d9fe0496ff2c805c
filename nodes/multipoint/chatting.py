"""Side chats: messages between a root and one leaf, over their control connection (DP-30 to DP-34).

May not know: which end of the session this is; who may chat.
"""

import time

from multipoint import constants
from multipoint.connection import Connection
from multipoint.data import DataSocket
from multipoint.errors import error
from multipoint.wire import Endpoint

# Who does not read his chat must not fill the memory of who sends it, nor who chats that of who does not read.
MAX_UNSENT = 1 << 20
MAX_UNREAD = 64


class ChattingSocket(DataSocket):
    """A socket that may have a chat with one peer."""

    @property
    def chat_connection(self) -> Connection | None:
        """The connection to that peer; None if there is none, or none yet."""
        return None

    def hear_chat(self, data: bytes, sender: Endpoint) -> None:
        """Take a message of the peer."""
        assert self.chat_connection
        self.inbox.append((data, sender))
        self.chat_connection.is_held = len(self.inbox) >= MAX_UNREAD
        self.note_data()
        self.wake()

    def note_room(self) -> None:
        """Listen to the peer again, once the program has read some of what he said."""
        if self.chat_connection and len(self.inbox) < MAX_UNREAD // 2:
            self.chat_connection.resume()

    def say_chat(self, data: bytes) -> int:
        """Send a message to the peer. Raises WSAENOTCONN if he has gone, WSAENOBUFS if he does not read."""
        with self.stack.lock:
            connection = self.chat_connection
            if connection is None or not connection.link.is_joined:
                raise error(constants.WSAENOTCONN, "the other side has gone")
            if len(connection.link.outgoing) > MAX_UNSENT:
                raise error(constants.WSAENOBUFS, "the other side does not read")
            connection.link.chat(data, time.monotonic())
            connection.pump()
        return len(data)
