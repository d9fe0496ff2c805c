"""Apps as a test sees them: processes in a node that make Winsock-shaped calls, and the sockets they hold.

Each call waits for its return and gives its value, or raises WSAError with the code by name. The same call with
``start_`` in front returns at once with a Call, whose ``result()`` waits. All of it stands on the Trace.

May not know: how a lab is built.
"""

import signal as signals
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from joinlab.errors import JoinlabError, LabBroken
from joinlab.flow import Flow
from joinlab.loop import PATIENCE_S, Conversation, Loop, Pending
from joinlab.records import from_message
from joinlab.trace import Trace
from joinlab.words import Direction, Family, Flag, NetworkEvent, Provider, Role, Verdict
from joinlab_agent.channel import Channel, Message

T = TypeVar("T")

Address = tuple[str, int]

ALL_EVENTS = tuple(NetworkEvent)


class WSAError(JoinlabError):
    """A call failed in the documentation's way; ``name`` is what WSAGetLastError gave, "WSAECONNREFUSED"."""

    def __init__(self, name: str, code: int, call: str) -> None:
        self.name = name
        self.code = code
        super().__init__(call)


class Place(Protocol):
    """What an app must know of the node it runs in."""

    @property
    def name(self) -> str:
        """Return the node's name."""

    @property
    def host(self) -> str:
        """Return the node's address."""

    @property
    def host6(self) -> str:
        """Return the node's IPv6 address."""

    @property
    def apps(self) -> Mapping[str, "App"]:
        """Return the apps that run in the node."""

    def kill(self, app: str, signal: int) -> None:
        """Send an app a signal."""

    def start_kill(self, app: str, signal: int = ...) -> Pending[Any]:
        """Send an app a signal, without waiting."""


class Call(Generic[T]):
    """A call under way."""

    def __init__(self, pending: Pending[Any], to_value: Callable[[Any], T]) -> None:
        self._pending = pending
        self._to_value = to_value

    @property
    def is_done(self) -> bool:
        """Tell whether the call has returned."""
        return self._pending.is_done

    def result(self, timeout_s: float = PATIENCE_S) -> T:
        """Wait for the return. Raises WSAError when the call failed, TimeoutError when the time is over."""
        return self._to_value(self._pending.result(timeout_s))


class App:
    """One app. When it is closed its process ends, and the kernel leaves what it had joined."""

    def __init__(self, loop: Loop, trace: Trace, channel: Channel, place: Place, name: str, pid: int) -> None:
        self.name = name
        self.node = place
        self.pid = pid
        self._trace = trace
        self._conversation = Conversation(
            loop, channel, f"{place.name}/{name}", on_record=self._on_record, to_error=_to_error
        )

    def __repr__(self) -> str:
        return f"<app {self._conversation.name}>"

    @property
    def host(self) -> str:
        """Return the address of the app's node."""
        return self.node.host

    @property
    def host6(self) -> str:
        """Return the IPv6 address of the app's node. Raises LabBroken where there is none."""
        return self.node.host6

    @property
    def is_running(self) -> bool:
        """Tell whether the app's process lives, as far as is known."""
        return self._conversation.is_open

    def start(self, call: str, **arguments: Any) -> Pending[Any]:
        """Start any call of the app's table by name."""
        return self._conversation.start(call, **arguments)

    def call(self, call: str, **arguments: Any) -> Any:
        """Make any call of the app's table by name."""
        return self._conversation.call(call, **arguments)

    def start_up(self, **settings: Any) -> None:
        """WSAStartup; settings are those of the stack, such as ``join_timeout_s``."""
        self.call("WSAStartup", **settings)

    def clean_up(self) -> None:
        """WSACleanup."""
        self.call("WSACleanup")

    def socket(self, provider: Provider, *flags: Flag, family: Family = Family.IPV4, group: int = 0) -> "RemoteSocket":
        """WSASocket."""
        handle = self.call("WSASocket", family=family, provider=provider, flags=list(flags), group=group)
        return RemoteSocket(self, handle, family)

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send the process a signal: SIGKILL is a crash, SIGSTOP a hang, SIGCONT its end."""
        self.node.kill(self.name, signal)

    def close(self) -> None:
        """End the app: its process ends as its channel closes. The node says so on the Trace."""
        self._conversation.close()

    def _on_record(self, body: Message) -> None:
        self._trace.add(from_message(body, self.node.name, self.name))


@dataclass(frozen=True, slots=True)
class Accepted:
    """What accepting gave: the new socket, who joined, and what the condition function saw."""

    socket: "RemoteSocket"
    peer: Address
    caller_data: bytes | None
    capacity: int | None  # how much callee data the caller takes; None: there was no condition function


class RemoteSocket:
    """A socket of an app, by its handle."""

    def __init__(self, app: App, handle: int, family: Family = Family.IPV4) -> None:
        self.app = app
        self.handle = handle
        self.family = family

    def __repr__(self) -> str:
        return f"<socket {self.handle} of {self.app!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteSocket) and (other.app, other.handle) == (self.app, self.handle)

    def __hash__(self) -> int:
        return hash((self.app, self.handle))

    @property
    def local_address(self) -> Address:
        """getsockname."""
        return _address(self._call("getsockname"))

    @property
    def peer_address(self) -> Address:
        """getpeername."""
        return _address(self._call("getpeername"))

    def bind(self, port: int = 0, host: str | None = None) -> Address:
        """Bind, to the node's own address if no other is given; returns what it is bound to."""
        own = self.app.host6 if self.family is Family.IPV6 else self.app.host
        self._call("bind", address=[own if host is None else host, port])
        return self.local_address

    def listen(self, backlog: int = 5) -> None:
        """Take requests to join, or invitations."""
        self._call("listen", backlog=backlog)

    def start_accept(self, verdict: Verdict | None = None, callee_data: bytes = b"") -> Call[Accepted]:
        """Start WSAAccept with a condition function that answers ``verdict``, or accept if that is None."""
        if verdict is None:
            return Call(self._start("accept"), self._accepted)
        return Call(self._start("WSAAccept", verdict=verdict, callee_data=callee_data), self._accepted)

    def accept(self, verdict: Verdict | None = None, callee_data: bytes = b"") -> Accepted:
        """Accept the first request or invitation."""
        return self.start_accept(verdict, callee_data).result()

    def start_join_leaf(
        self,
        to: Address,
        role: Role = Role.BOTH,
        *,
        caller_data: bytes | None = None,
        callee_capacity: int | None = None,
        sources: Sequence[str] | None = None,
        sending: Flow | None = None,
        receiving: Flow | None = None,
    ) -> Call["RemoteSocket"]:
        """Start WSAJoinLeaf."""
        arguments: dict[str, Any] = {"address": list(to), "role": role}
        if sources is not None:
            arguments["sources"] = list(sources)
        if sending is not None or receiving is not None:
            arguments["flows"] = {"sending": _flow(sending), "receiving": _flow(receiving)}
        pending = self._start("WSAJoinLeaf", **arguments, caller_data=caller_data, callee_capacity=callee_capacity)
        return Call(pending, lambda value: self._sibling(value["socket"]))

    def join_leaf(
        self,
        to: Address,
        role: Role = Role.BOTH,
        *,
        caller_data: bytes | None = None,
        callee_capacity: int | None = None,
        sources: Sequence[str] | None = None,
        sending: Flow | None = None,
        receiving: Flow | None = None,
    ) -> "RemoteSocket":
        """WSAJoinLeaf: on a c_root the result is a leg, on a c_leaf the socket itself.

        ``sources``: whom an SSM receiver wants to hear. ``sending``, ``receiving``: flows as this socket sees them.
        """
        return self.start_join_leaf(
            to,
            role,
            caller_data=caller_data,
            callee_capacity=callee_capacity,
            sources=sources,
            sending=sending,
            receiving=receiving,
        ).result()

    @property
    def callee_data(self) -> bytes | None:
        """Return what the peer gave with its acceptance of the join that returned this socket."""
        data: bytes | None = self._call("callee data")
        return data

    def send(self, data: bytes) -> int:
        """Send to the session."""
        return int(self._call("send", data=data))

    def send_to(self, data: bytes, to: Address) -> int:
        """Send to an address."""
        return int(self._call("sendto", data=data, address=list(to)))

    def start_receive(self) -> Call[tuple[bytes, Address]]:
        """Start recvfrom."""
        return Call(self._start("recvfrom"), lambda value: (value["data"], _address(value["from"])))

    def receive(self) -> tuple[bytes, Address]:
        """Receive a message and its sender's address."""
        return self.start_receive().result()

    def shutdown(self, how: Direction = Direction.BOTH) -> None:
        """Shut down."""
        self._call("shutdown", how=how)

    def close(self) -> None:
        """closesocket."""
        self._call("closesocket")

    def watch(self, *events: NetworkEvent, drain: bool = True) -> None:
        """Put these network events (all, if none is named) on the Trace from now on, and data unless told not to.

        The socket becomes nonblocking, and what it accepts and its legs are watched as well, as WSAEventSelect says.
        """
        self._call("watch", events=list(events or ALL_EVENTS), drain=drain)

    def set_nonblocking(self, nonblocking: bool = True) -> None:
        """ioctlsocket with FIONBIO."""
        self._call("ioctlsocket", nonblocking=nonblocking)

    def control(self, code: str, data: bytes = b"", room: int = 0) -> bytes:
        """WSAIoctl by the name of its code ("SIO_GET_QOS"); bytes go in, at most ``room`` come out."""
        return bytes(self._call("WSAIoctl", code=code, data=data, room=room))

    def option(self, level: str, name: str) -> int:
        """getsockopt of an option that is a number."""
        return int(self._call("getsockopt", level=level, option=name))

    def set_option(self, level: str, name: str, value: int) -> None:
        """setsockopt of an option that is a number."""
        self._call("setsockopt", level=level, option=name, value=value)

    def _sibling(self, handle: int) -> "RemoteSocket":
        return RemoteSocket(self.app, handle, self.family)

    def _accepted(self, value: Mapping[str, Any]) -> Accepted:
        socket = self._sibling(value["socket"])
        return Accepted(socket, _address(value["peer"]), value.get("caller_data"), value.get("capacity"))

    def _start(self, call: str, **arguments: Any) -> Pending[Any]:
        return self.app.start(call, socket=self.handle, **arguments)

    def _call(self, call: str, **arguments: Any) -> Any:
        return self.app.call(call, socket=self.handle, **arguments)


def _address(value: list[Any]) -> Address:
    host, port = value
    return str(host), int(port)


def _flow(flow: Flow | None) -> dict[str, int | str]:
    return {} if flow is None else flow.to_json()


def _to_error(error: dict[str, Any]) -> Exception:
    if "code" in error:
        return WSAError(error["type"], error["code"], error["text"])
    return LabBroken(error["text"])
