"""The Winsock-shaped calls of the stack, with plain data going in and out, so that they can travel over a channel.

A constant travels by its name ("JL_BOTH"), flags as a list of names, an address as [host, port], a failure as the
name of its WSA code. One method a call; the name in the table is the documentation's.

May not know: channels, records of calls (``app.py`` makes them).
"""

from collections.abc import Callable, Mapping
from typing import Any

from joinlab_agent.addresses import from_sockaddr, room_for_address, to_sockaddr
from joinlab_agent.names import code_name, number_of, sum_of
from joinlab_agent.watching import Watchers
from multipoint import constants, winsock
from multipoint.catalogue import CATALOGUE
from multipoint.flow import FLOWSPEC, QOS
from multipoint.layouts import WSABUF, WSADATA
from multipoint.values import Ref, Settings

LARGEST_MESSAGE = 65535
VERSION = 0x0202

Address = list[str | int]  # [host, port]
Flows = Mapping[str, Mapping[str, int | str]]  # by direction, then by field


class CallFailed(Exception):
    """A call failed in the documentation's way: with a code in WSAGetLastError."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.name = code_name(code) or "0"
        super().__init__(self.name)


class Calls:
    """The calls of one app and what must be remembered between them: watched sockets, callee data under way."""

    def __init__(self, record: Callable[[str, str, dict[str, Any]], None]) -> None:
        self._record = record
        self._watchers = Watchers(record)
        self._callee_data: dict[int, WSABUF] = {}

    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Name of the call -> what makes it."""
        return {
            "WSAStartup": self.start_up,
            "WSACleanup": self.clean_up,
            "WSAGetLastError": self.last_error,
            "WSASocket": self.make_socket,
            "WSASocket by type": self.choose_socket,
            "bind": self.bind,
            "listen": self.listen,
            "accept": self.accept,
            "WSAAccept": self.accept_on_condition,
            "WSAJoinLeaf": self.join_leaf,
            "callee data": self.callee_data,
            "send": self.send,
            "sendto": self.send_to,
            "recv": self.receive,
            "recvfrom": self.receive_from,
            "shutdown": self.shutdown,
            "closesocket": self.close,
            "getsockname": self.local_address,
            "getpeername": self.peer_address,
            "setsockopt": self.set_option,
            "getsockopt": self.option,
            "ioctlsocket": self.set_nonblocking,
            "WSAIoctl": self.control,
            "watch": self.watch,
        }

    def start_up(self, **settings: Any) -> None:
        """Start the stack; settings are the fields of ``multipoint.Settings``."""
        if code := winsock.WSAStartup(VERSION, WSADATA(), settings=Settings(**settings)):
            raise CallFailed(code)

    def clean_up(self) -> None:
        """End the stack's use."""
        _check(winsock.WSACleanup())

    def last_error(self) -> str | None:
        """Return the last error of the thread that happens to make this call."""
        return code_name(winsock.WSAGetLastError())

    def make_socket(self, family: str, provider: str, flags: list[str], group: int = 0) -> int:
        """Make a socket of a row of the catalogue ("P2MP"), give its handle."""
        info = next(
            entry.info() for entry in CATALOGUE if entry.provider.name == provider and entry.family == number_of(family)
        )
        from_info = constants.FROM_PROTOCOL_INFO
        return _handle(winsock.WSASocket(from_info, from_info, from_info, info, group, sum_of(flags)))

    def choose_socket(self, family: str, type: str, protocol: str | int, flags: list[str], group: int = 0) -> int:
        """Make a socket of the first row of the catalogue that fits, give its handle."""
        number = number_of(protocol) if isinstance(protocol, str) else protocol
        return _handle(winsock.WSASocket(number_of(family), number_of(type), number, None, group, sum_of(flags)))

    def bind(self, socket: int, address: Address) -> None:
        """Bind a socket."""
        name = to_sockaddr(address)
        _check(winsock.bind(socket, name, len(name.pack())))

    def listen(self, socket: int, backlog: int) -> None:
        """Take requests."""
        _check(winsock.listen(socket, backlog))

    def accept(self, socket: int) -> dict[str, Any]:
        """Accept without a condition."""
        peer, size = room_for_address()
        accepted = _handle(winsock.accept(socket, peer, size))
        self._watchers.adopt(socket, accepted)
        return {"socket": accepted, "peer": from_sockaddr(peer)}

    def accept_on_condition(self, socket: int, verdict: str, callee_data: bytes = b"") -> dict[str, Any]:
        """Accept by a condition function that answers ``verdict`` and gives ``callee_data``; tells what it saw."""
        condition = Condition(number_of(verdict), callee_data)
        peer, size = room_for_address()
        try:
            accepted = _handle(winsock.WSAAccept(socket, peer, size, condition, None))
        finally:
            if condition.seen:
                self._record("event", "condition", {"socket": socket, "verdict": verdict, **condition.seen})
        self._watchers.adopt(socket, accepted)
        return {"socket": accepted, "peer": from_sockaddr(peer), **condition.seen}

    def join_leaf(
        self,
        socket: int,
        address: Address,
        role: str,
        caller_data: bytes | None = None,
        callee_capacity: int | None = None,
        sources: list[str] | None = None,
        flows: Flows | None = None,
    ) -> dict[str, Any]:
        """Join; where the socket is nonblocking, ``callee data`` asks for the peer's data after FD_CONNECT.

        ``sources`` follow the group in the name, as SSM receivers want it; ``flows`` are "sending" and
        "receiving", each the fields of a FLOWSPEC that are specified.
        """
        name = b"".join(to_sockaddr([host, port]).pack() for host, port in _names(address, sources or []))
        caller = None if caller_data is None else WSABUF(len(caller_data), caller_data)
        callee = None if callee_capacity is None else WSABUF(callee_capacity, bytearray(callee_capacity))
        qos = None if flows is None else QOS.of(_flowspec(flows["sending"]), _flowspec(flows["receiving"]))
        joined = _handle(winsock.WSAJoinLeaf(socket, name, len(name), caller, callee, qos, None, number_of(role)))
        if callee is not None:
            self._callee_data[joined] = callee
        if joined != socket:
            self._watchers.adopt(socket, joined)
        return {"socket": joined}

    def callee_data(self, socket: int) -> bytes | None:
        """Return what the peer gave for the join that returned ``socket``; None: it wasn't asked for."""
        callee = self._callee_data.get(socket)
        return None if callee is None else _bytes(callee)

    def send(self, socket: int, data: bytes) -> int:
        """Send to the session."""
        return _check(winsock.send(socket, data, len(data), 0))

    def send_to(self, socket: int, data: bytes, address: Address) -> int:
        """Send to an address."""
        name = to_sockaddr(address)
        return _check(winsock.sendto(socket, data, len(data), 0, name, len(name.pack())))

    def receive(self, socket: int, size: int = LARGEST_MESSAGE) -> bytes:
        """Receive a message."""
        data = bytearray(size)
        return bytes(data[: _check(winsock.recv(socket, data, size, 0))])

    def receive_from(self, socket: int, size: int = LARGEST_MESSAGE) -> dict[str, Any]:
        """Receive a message and the address it came from."""
        data = bytearray(size)
        sender, length = room_for_address()
        received = _check(winsock.recvfrom(socket, data, size, 0, sender, length))
        return {"data": bytes(data[:received]), "from": from_sockaddr(sender)}

    def shutdown(self, socket: int, how: str) -> None:
        """Shut a socket down."""
        _check(winsock.shutdown(socket, number_of(how)))

    def close(self, socket: int) -> None:
        """Close a socket."""
        self._watchers.forget(socket)
        self._callee_data.pop(socket, None)
        _check(winsock.closesocket(socket))

    def local_address(self, socket: int) -> Address:
        """Return what the socket is bound to."""
        name, size = room_for_address()
        _check(winsock.getsockname(socket, name, size))
        return from_sockaddr(name)

    def peer_address(self, socket: int) -> Address:
        """Return the address of the other end."""
        name, size = room_for_address()
        _check(winsock.getpeername(socket, name, size))
        return from_sockaddr(name)

    def set_option(self, socket: int, level: str, option: str, value: int) -> None:
        """Set an option that is a number."""
        data = value.to_bytes(4, "little", signed=True)
        _check(winsock.setsockopt(socket, number_of(level), number_of(option), data, len(data)))

    def option(self, socket: int, level: str, option: str) -> int:
        """Return an option that is a number."""
        data, size = bytearray(4), Ref(4)
        _check(winsock.getsockopt(socket, number_of(level), number_of(option), data, size))
        return int.from_bytes(data[: size.value], "little", signed=True)

    def set_nonblocking(self, socket: int, nonblocking: bool) -> None:
        """Set FIONBIO."""
        _check(winsock.ioctlsocket(socket, constants.FIONBIO, Ref(int(nonblocking))))

    def control(self, socket: int, code: str, data: bytes = b"", room: int = 0) -> bytes:
        """Make an ioctl by the name of its code; bytes go in and come out."""
        out, length = bytearray(room), Ref(0)
        number = number_of(code)
        _check(winsock.WSAIoctl(socket, number, data or None, len(data), out or None, room, length, None, None))
        return bytes(out[: length.value])

    def watch(self, socket: int, events: list[str], drain: bool = True) -> None:
        """Put network events on record from now on, of this socket and of those that inherit from it."""
        if not self._watchers.watch(socket, sum_of(events), drain):
            raise CallFailed(winsock.WSAGetLastError())


class Condition:
    """A condition function that answers as told, and remembers what it saw."""

    def __init__(self, verdict: int, callee_data: bytes) -> None:
        self.seen: dict[str, Any] = {}
        self._verdict = verdict
        self._callee_data = callee_data

    def __call__(
        self,
        caller: WSABUF,
        caller_data: WSABUF | None,
        flows: object,
        _group_flows: object,
        callee: WSABUF,
        callee_data: WSABUF,
        _group: object,
        _callback_data: object,
    ) -> int:
        """Decide; the parameters are those of the documentation, in its order."""
        self.seen = {
            "caller": from_sockaddr(_bytes(caller)),
            "callee": from_sockaddr(_bytes(callee)),
            "caller_data": None if caller_data is None else _bytes(caller_data),
            "capacity": callee_data.len,
            "flows": None if flows is None else repr(flows),
        }
        # As a C program would: it writes what fits into its buffer, and claims the length of all of it.
        if isinstance(callee_data.buf, bytearray | memoryview):
            fitting = self._callee_data[: callee_data.len]
            callee_data.buf[: len(fitting)] = fitting
        callee_data.len = len(self._callee_data)
        return self._verdict


def _bytes(buffer: WSABUF) -> bytes:
    return b"" if buffer.buf is None else bytes(buffer.buf[: buffer.len])


def _flowspec(fields: Mapping[str, int | str]) -> FLOWSPEC:
    return FLOWSPEC(**{name: number_of(value) if isinstance(value, str) else value for name, value in fields.items()})


def _names(group: Address, sources: list[str]) -> list[Address]:
    return [group, *([source, group[1]] for source in sources)]


def _check(result: int) -> int:
    if result == constants.SOCKET_ERROR:
        raise CallFailed(winsock.WSAGetLastError())
    return result


def _handle(result: int) -> int:
    if result == constants.INVALID_SOCKET:
        raise CallFailed(winsock.WSAGetLastError())
    return result
