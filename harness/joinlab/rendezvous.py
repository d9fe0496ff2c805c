"""How `joinlab shell` in one terminal finds the lab that `joinlab up` holds in another.

A held lab listens on an abstract UNIX socket, @joinlab/USER/RUN: the name goes with its process, so that no file can be
left. Anybody on the machine may try to connect, so each end checks that the other belongs to the same user. May not
know: labs, runtimes, terminals.
"""

import os
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from joinlab.errors import UsageError
from joinlab.loop import Conversation, Loop
from joinlab_agent.channel import Channel, ChannelClosed, Message

Answer = Callable[[Message], Any]

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Listener:
    """The held lab's end: answers whoever of the same user asks."""

    def __init__(self, loop: Loop, run: str, answers: Mapping[str, Answer]) -> None:
        self._loop = loop
        self._answers = answers
        self._guests: set[Channel] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(f"\0{_prefix()}{run}")
        self._socket.listen()
        loop.watch(self._socket, self._accept)

    def close(self) -> None:
        """Stop answering."""
        self._loop.unwatch(self._socket)
        self._socket.close()
        for guest in tuple(self._guests):
            self._dismiss(guest)

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        if _user_of(connection) != os.getuid():
            connection.close()
            return
        guest = Channel(connection)
        self._guests.add(guest)
        self._loop.watch(guest, lambda: self._serve(guest))

    def _serve(self, guest: Channel) -> None:
        try:
            for request, _ in guest.take():
                guest.send(self._reply(request))
        except ChannelClosed:
            self._dismiss(guest)

    def _reply(self, request: Message) -> Message:
        try:
            return {"re": request["id"], "value": self._answers[request["do"]](request)}
        except (UsageError, KeyError) as error:
            return {"re": request["id"], "error": {"type": "usage", "text": str(error)}}

    def _dismiss(self, guest: Channel) -> None:
        self._guests.discard(guest)
        self._loop.unwatch(guest)
        guest.close()


def runs() -> list[str]:
    """Return the labs that this user holds open on this machine."""
    names = (line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines())
    # A connection shows its listener's name too.
    return sorted({name[1:].removeprefix(_prefix()) for name in names if name.startswith(f"@{_prefix()}")})


def ask(run: str, verb: str, **arguments: Any) -> Any:
    """Ask a held lab. Raises UsageError for what it refuses, LabBroken when it ends meanwhile."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"\0{_prefix()}{run}")
    except OSError as error:
        connection.close()
        raise UsageError(f"there is no lab {run!r} (any more): joinlab up TOPOLOGY starts one") from error
    if _user_of(connection) != os.getuid():
        connection.close()
        raise UsageError(f"the lab {run!r} is another user's")
    conversation = Conversation(
        Loop(), Channel(connection), f"lab {run}", to_error=lambda error: UsageError(error["text"])
    )
    try:
        return conversation.call(verb, **arguments)
    finally:
        conversation.close()


def _prefix() -> str:
    return f"joinlab/{os.getuid()}/"


def _user_of(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])
