"""Talk to the kernel's routing netlink in batches: several requests in one send, one answer each.

pyroute2's message classes do the encoding and decoding. Its ``IPRoute`` is not used: each one carries an event loop,
and a lab opens a socket in every node (kernel-side cost of a socket 0.05 ms, of an ``IPRoute`` 1 ms).

May not know: labs, plans, bridges.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

T = TypeVar("T")

REQUEST, ACK, CREATE, EXCL, DUMP = 0x1, 0x4, 0x400, 0x200, 0x300
ACK_HAS_ATTRIBUTES = 0x200  # flag of an answer, NLM_F_ACK_TLVS
ERROR, DONE = 2, 3  # message types below those of rtnetlink
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")
SOL_NETLINK, ADD_MEMBERSHIP, CAP_ACK, EXT_ACK, GET_STRICT_CHK = 270, 1, 10, 11, 12
ATTR_MESSAGE = 1  # NLMSGERR_ATTR_MSG
# The kernel's answers to a batch must fit the receive buffer: 64 answers of at most about 1 kB each.
BATCH = 64
READ_SIZE = 1 << 18
BUFFER_SIZE = 1 << 20
# The kernel answers before ``send`` returns; whoever waits longer would wait for ever.
ANSWER_WITHIN_S = 10.0
TIMEVAL = struct.Struct("@ll")

Attributes = Sequence[tuple[str, object]]


class NetlinkFailed(Exception):
    """The kernel refused a request; ``code`` is its errno."""

    def __init__(self, what: str, code: int, text: str) -> None:
        self.what, self.code, self.text = what, code, text
        name = errno.errorcode.get(code, str(code))
        super().__init__(f"{what}: {name}, {os.strerror(code)}" + (f" ({text})" if text else ""))


class Request(NamedTuple):
    """One message for the kernel. ``what`` is for error messages; ``ignore`` holds errnos that count as done."""

    what: str
    type: int
    message: Any  # a pyroute2 nlmsg with fields and attributes set
    flags: int = 0
    ignore: frozenset[int] = frozenset()


class Netlink:
    """A socket to the kernel, belonging to the network namespace in which it is opened."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sock.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        self._sock.setsockopt(SOL_NETLINK, EXT_ACK, 1)
        self._sock.setsockopt(SOL_NETLINK, GET_STRICT_CHK, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        seconds, rest = divmod(ANSWER_WITHIN_S, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL.pack(int(seconds), int(rest * 1e6)))
        self._sock.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def subscribe(self, group: int) -> None:
        """Receive the kernel's notices of ``group`` (an RTNLGRP number); read them with ``notices``."""
        # Notices can't wait for room as answers can: a lab of a thousand nodes joining at once is 1 MB of them.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * BUFFER_SIZE)
        self._sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)

    def notices(self) -> list[bytes]:
        """Return all notices that are there, whole messages, without waiting. Raises OSError when some are lost."""
        found: list[bytes] = []
        while True:
            try:
                data = self._sock.recv(READ_SIZE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            found += (message for _, _, _, message in _split(data))

    def do(self, requests: Iterable[Request]) -> None:
        """Carry out the requests in order, in batches. Raises NetlinkFailed for the first that the kernel refuses."""
        waiting = list(requests)
        for start in range(0, len(waiting), BATCH):
            self._do_batch(waiting[start : start + BATCH])

    def dump(self, request: Request, kind: type[T]) -> list[T]:
        """Return all that the kernel lists for ``request``, decoded."""
        sequence = self._next_sequence()
        self._sock.send(_encode(request, REQUEST | DUMP, sequence))
        return [_decode(message, kind) for message in self._dumped(request, sequence)]

    def links(self, index: int | None = None) -> list[Any]:
        """Return the namespace's interfaces, or the one with ``index``, as ``ifinfmsg``."""
        if index is None:
            return self.dump(Request("list interfaces", RTM_GETLINK, ifinfmsg()), ifinfmsg)
        message = ifinfmsg()
        message["index"] = index
        return [self._get(Request(f"read interface {index}", RTM_GETLINK, message), RTM_NEWLINK, ifinfmsg)]

    def addresses(self) -> list[Any]:
        """Return the namespace's addresses as ``ifaddrmsg``."""
        return self.dump(Request("list addresses", RTM_GETADDR, ifaddrmsg()), ifaddrmsg)

    def _get(self, request: Request, reply_type: int, kind: type[T]) -> T:
        sequence = self._next_sequence()
        self._sock.send(_encode(request, REQUEST, sequence))
        for message_type, flags, number, message in self._receive():
            if number == sequence and message_type == ERROR:
                raise _failure(request, message, flags) or NetlinkFailed(request.what, errno.EPROTO, "no answer")
            if number == sequence and message_type == reply_type:
                return _decode(message, kind)
        raise AssertionError("unreachable: receiving doesn't end")

    def _do_batch(self, requests: Sequence[Request]) -> None:
        first = self._sequence + 1
        self._sock.send(b"".join(_encode(r, REQUEST | ACK, self._next_sequence()) for r in requests))
        unanswered = dict(enumerate(requests, first))
        failures = []
        for message_type, flags, sequence, message in self._receive():
            if message_type == ERROR and (request := unanswered.pop(sequence, None)):
                failures.append(_failure(request, message, flags))
                if not unanswered:
                    break
        for failure in filter(None, failures):
            raise failure

    def _dumped(self, request: Request, sequence: int) -> Iterator[bytes]:
        for message_type, flags, number, message in self._receive():
            if number != sequence:
                continue
            if message_type == DONE:
                return
            if message_type == ERROR:
                if failure := _failure(request, message, flags):
                    raise failure
                return
            yield message

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            try:
                data = self._sock.recv(READ_SIZE)
            except BlockingIOError as error:
                raise NetlinkFailed("wait for the kernel's answer", errno.ETIMEDOUT, "") from error
            yield from _split(data)

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence


def link_message(attributes: Attributes, *, index: int = 0, up: bool | None = None, family: int = 0) -> Any:
    """Return an ``ifinfmsg``; ``up`` None leaves the state alone."""
    message = ifinfmsg()
    message["family"] = family
    message["index"] = index
    if up is not None:
        message["flags"] = int(up)
        message["change"] = 1
    message["attrs"] = list(attributes)
    return message


def nested(attributes: Attributes | Mapping[str, object]) -> dict[str, object]:
    """Return attributes as pyroute2 wants them inside an attribute."""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return {"attrs": list(pairs)}


def new_link(what: str, attributes: Attributes, *, up: bool = False) -> Request:
    """Return the request that creates an interface."""
    return Request(what, RTM_NEWLINK, link_message(attributes, up=up), CREATE | EXCL)


def set_link(what: str, index: int, attributes: Attributes = (), *, up: bool | None = None) -> Request:
    """Return the request that changes an interface."""
    return Request(what, RTM_NEWLINK, link_message(attributes, index=index, up=up))


def new_address(what: str, index: int, address: str, *, family: int, flags: int = 0) -> Request:
    """Return the request that gives an interface an address, written address/prefix-length."""
    host, _, length = address.partition("/")
    message = ifaddrmsg()
    message["family"] = family
    message["prefixlen"] = int(length)
    message["index"] = index
    message["flags"] = flags
    message["attrs"] = [("IFA_ADDRESS", host), ("IFA_LOCAL", host)]
    return Request(what, RTM_NEWADDR, message, CREATE | EXCL)


def _encode(request: Request, flags: int, sequence: int) -> bytes:
    message = request.message
    message["header"]["type"] = request.type
    message["header"]["flags"] = flags | request.flags
    message["header"]["sequence_number"] = sequence
    message["header"]["pid"] = 0
    message.reset()
    message.encode()
    return bytes(message.data)


def _decode(message: bytes, kind: type[T]) -> T:
    decoded: Any = kind(message)  # type: ignore[call-arg]
    decoded.decode()
    return decoded  # type: ignore[no-any-return]


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, message_type, flags, sequence, _ = HEADER.unpack_from(data, offset)
        yield message_type, flags, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


def _failure(request: Request, message: bytes, flags: int) -> NetlinkFailed | None:
    (code,) = struct.unpack_from("=i", message, HEADER.size)
    if code == 0 or -code in request.ignore:
        return None
    return NetlinkFailed(request.what, -code, _extended_text(message) if flags & ACK_HAS_ATTRIBUTES else "")


def _extended_text(message: bytes) -> str:
    offset = HEADER.size + 4 + HEADER.size  # the error's number, then the capped request
    while offset + ATTRIBUTE.size <= len(message):
        length, kind = ATTRIBUTE.unpack_from(message, offset)
        if kind == ATTR_MESSAGE:
            return message[offset + ATTRIBUTE.size : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += max((length + 3) & ~3, ATTRIBUTE.size)
    return ""
