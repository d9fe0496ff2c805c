"""Winsock-shaped: sending and receiving one buffer. May not know: how anything works."""

from typing import cast

from multipoint import constants, pointers
from multipoint.calling import call, name_of, process
from multipoint.constants import SOCKET_ERROR
from multipoint.errors import MultipointError, error
from multipoint.values import Name, Readable, Ref, Writable
from multipoint.wire import Endpoint


@call(SOCKET_ERROR)
def send(s: int, buf: Readable, len: int, flags: int) -> int:
    """Send one message to whom this kind of socket reaches."""
    return _send(s, buf, len, flags, None)


@call(SOCKET_ERROR)
def sendto(s: int, buf: Readable, len: int, flags: int, to: Name | None, tolen: int) -> int:
    """Send one message; where ``to`` counts and where not: DP-02, DP-22, DP-32."""
    sock = process.sockets.get(s)
    return _send(s, buf, len, flags, None if to is None else name_of(sock, to, tolen))


@call(SOCKET_ERROR)
def recv(s: int, buf: Writable, len: int, flags: int) -> int:
    """Receive one message; 0 after the orderly end of a session (CL-12)."""
    try:
        return _receive(s, buf, len, flags)[0]
    except MultipointError as reason:
        if reason.code == constants.WSAEDISCON:
            return 0
        raise


@call(SOCKET_ERROR)
def recvfrom(s: int, buf: Writable, len: int, flags: int, from_: bytearray | None, fromlen: Ref[int] | None) -> int:
    """Receive one message and its sender; 0 after the orderly end of a session (CL-12)."""
    try:
        size, sender = _receive(s, buf, len, flags, from_, fromlen)
    except MultipointError as reason:
        if reason.code == constants.WSAEDISCON:
            return 0
        raise
    if from_ is not None:
        pointers.store_name(sender, from_, fromlen)
    return size


def _send(s: int, buf: object, length: int, flags: int, to: Endpoint | None) -> int:
    sock = process.sockets.get(s)
    data = pointers.read_memory(buf, length)
    check_send_flags(flags)
    return sock.send(data, to)


def check_send_flags(flags: int) -> None:
    """Raise what is wrong with the flags of a send."""
    if flags & constants.MSG_OOB:
        raise error(constants.WSAEOPNOTSUPP, "no class has urgent data")
    if flags & ~constants.MSG_DONTROUTE:
        raise error(constants.WSAEINVAL, "unknown flags", flags=flags)


def _receive(
    s: int, buf: object, length: int, flags: int, name: object = None, namelen: object = None
) -> tuple[int, Endpoint]:
    sock = process.sockets.get(s)
    try:
        pointers.check_room(name, namelen, sock.entry.family)
        room = pointers.write_memory(buf, length)
    except MultipointError:
        # EV-25: a call that fails re-enables too.
        sock.reenable_read()
        raise
    try:
        data, sender = sock.receive(length, flags)
    except MultipointError as reason:
        if reason.code == constants.WSAEMSGSIZE:
            # DP-15: what fits is there all the same, and who sent it.
            room[:] = cast("bytes", reason.facts["data"])
            if name is not None:
                pointers.store_name(cast("Endpoint", reason.facts["sender"]), name, namelen)
        raise
    room[: len(data)] = data
    return len(data), sender
