"""Messages between the harness, the keeper, agents and apps: JSON over a UNIX stream socket, descriptors beside it.

One message is a length (4 bytes, big endian) and that many bytes of JSON, an object. A ``bytes`` value travels as
``{"base64": "..."}``. File descriptors travel as ancillary data with the message that announces them. The other end
going away is the end of the channel, and whoever lives for the channel ends with it: that is how a killed harness
leaves nothing behind.

May not know: what the messages mean. Why not execnet: it keeps a thread for each gateway in the harness, and a lab
may have a thousand nodes; and it can't hand over descriptors.
"""

import array
import base64
import json
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

LENGTH = struct.Struct("!I")
# A plan of a thousand nodes is 0.3 MB; the limit only guards against a broken peer.
MAX_MESSAGE = 64 * 1024 * 1024
MAX_DESCRIPTORS = 64
DESCRIPTOR_ROOM = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
ANCILLARY_SIZE = socket.CMSG_LEN(MAX_DESCRIPTORS * struct.calcsize("i"))
READ_SIZE = 256 * 1024

Message = dict[str, Any]


class ChannelClosed(Exception):
    """The other end of the channel is gone."""


class Received(NamedTuple):
    """One message and the descriptors that came with it; the receiver owns them."""

    body: Message
    descriptors: tuple[int, ...]


class Channel:
    """One end of a message channel. It owns its socket; sending is safe from several threads, receiving is not."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    @classmethod
    def pair(cls) -> tuple["Channel", "Channel"]:
        """Two connected channels."""
        left, right = socket.socketpair()
        return cls(left), cls(right)

    def fileno(self) -> int:
        """Return the socket's descriptor, for selectors and for handing over."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close this end, and descriptors that came and were never taken."""
        self._sock.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def send(self, body: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message, waiting for room; the descriptors stay the caller's. Raises ChannelClosed."""
        if descriptors:
            body = body | {"descriptors": len(descriptors)}
        payload = json.dumps(body, default=_to_json, separators=(",", ":")).encode()
        data = memoryview(LENGTH.pack(len(payload)) + payload)
        try:
            with self._sending:
                sent = socket.send_fds(self._sock, [data], list(descriptors)) if descriptors else 0
                self._sock.sendall(data[sent:])
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> Received:
        """Wait for the next message. Raises ChannelClosed."""
        while (message := self._next()) is None:
            self._read(0)
        return message

    def take(self) -> list[Received]:
        """Return all messages that are there, without waiting. Raises ChannelClosed once nothing is left to return."""
        messages: list[Received] = []
        try:
            while True:
                self._read(socket.MSG_DONTWAIT)
                while (message := self._next()) is not None:
                    messages.append(message)
        except BlockingIOError:
            return messages
        except ChannelClosed:
            if not messages:
                raise
            return messages

    def _read(self, flags: int) -> None:
        try:
            # Not socket.recv_fds: Python 3.11's ignores its flags, and waits.
            data, ancillary, _, _ = self._sock.recvmsg(READ_SIZE, ANCILLARY_SIZE, flags | socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors.extend(memoryview(content).cast("i"))
        if not data:
            raise ChannelClosed("the other end closed the channel")
        self._bytes += data

    def _next(self) -> Received | None:
        if len(self._bytes) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._bytes)
        if length > MAX_MESSAGE:
            raise ChannelClosed(f"a message of {length} bytes is announced, at most {MAX_MESSAGE} are taken")
        end = LENGTH.size + length
        if len(self._bytes) < end:
            return None
        body = json.loads(self._bytes[LENGTH.size : end], object_hook=_from_json)
        del self._bytes[:end]
        count = body.pop("descriptors", 0)
        return Received(body, tuple(self._descriptors.popleft() for _ in range(count)))


def _to_json(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} can't travel over a channel")


def _from_json(value: dict[str, Any]) -> object:
    if value.keys() == {"base64"}:
        return base64.b64decode(value["base64"])
    return value
