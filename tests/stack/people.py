"""Roots and leaves in a test's words, over the Python face of the stack."""

import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import pytest

from multipoint import constants as c
from multipoint.catalogue import PROTOCOLS
from multipoint.errors import MultipointError
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.signals import Signal, wait_for_any
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Caller, Condition, JoinRequest, Verdict
from multipoint.wire import Endpoint

T = TypeVar("T")

HERE = "127.0.0.1"
# Far longer than anything takes; reached only by a test that fails.
PATIENCE_S = 5.0
ROOT = c.WSA_FLAG_MULTIPOINT_C_ROOT | c.WSA_FLAG_MULTIPOINT_D_ROOT
LEAF = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_LEAF
CONFERENCE_ROOT = c.WSA_FLAG_MULTIPOINT_C_ROOT | c.WSA_FLAG_MULTIPOINT_D_LEAF


class Meanwhile(Generic[T]):
    """A blocking call that runs in a thread of its own."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Tell whether the call has not returned yet."""
        return self._thread.is_alive()

    def result(self) -> T:
        """Wait for the call's end; return its result or raise its error."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the call still blocks"
        if self._error:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:
            self._error = error


class Watcher:
    """Collects the network events of a socket and of those that inherit from it."""

    def __init__(self, sock: MultipointSocket, mask: int = c.FD_ALL_EVENTS) -> None:
        self._signal = Signal()
        sock.select_events(self._signal, mask)

    def wait_for(self, sock: MultipointSocket, event: NetworkEvent) -> int:
        """Return the error code with which the socket records the event; others recorded before are dropped."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            events = sock.enumerate_events(self._signal)
            if event in events:
                return events[event]
            assert time.monotonic() < deadline, f"no {event!r}"
            wait_for_any([self._signal], deadline - time.monotonic())


def a_root(
    stack: Stack,
    host: str = HERE,
    *,
    provider: ProviderClass = ProviderClass.P2MP,
    backlog: int = c.SOMAXCONN,
) -> MultipointSocket:
    """Return a c_root that listens."""
    flags = ROOT if provider is ProviderClass.P2MP else CONFERENCE_ROOT
    root = stack.socket(c.AF_INET, c.SOCK_SEQPACKET, PROTOCOLS[provider], None, flags)
    root.bind((host, 0))
    root.listen(backlog)
    return root


def a_leaf(stack: Stack, *, provider: ProviderClass = ProviderClass.P2MP) -> MultipointSocket:
    """Return a c_leaf that has done nothing yet."""
    return stack.socket(c.AF_INET, c.SOCK_SEQPACKET, PROTOCOLS[provider], None, LEAF)


def a_listening_leaf(
    stack: Stack, host: str = HERE, *, provider: ProviderClass = ProviderClass.P2MP
) -> MultipointSocket:
    """Return a c_leaf that waits for invitations."""
    leaf = a_leaf(stack, provider=provider)
    leaf.bind((host, 0))
    leaf.listen()
    return leaf


def a_group_socket(
    stack: Stack, group: Endpoint, role: JoinRole = JoinRole.BOTH, *, interface: int = 1
) -> MultipointSocket:
    """Return a socket that has joined a plain group, on the loopback interface unless said otherwise."""
    sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
    sock.options.reuse_address = True
    sock.options.interface = interface
    sock.join(group, JoinRequest(role))
    return sock


def admit(root: MultipointSocket, leaf: MultipointSocket, condition: Condition | None = None) -> MultipointSocket:
    """Let a leaf ask and the root accept; return the leg."""
    accepting = Meanwhile(lambda: root.accept(condition))
    leaf.join(root.local_address)
    return accepting.result()


def invite(root: MultipointSocket, leaf: MultipointSocket) -> tuple[MultipointSocket, MultipointSocket]:
    """Let the root invite a listening leaf; return the leg and the member."""
    accepting = Meanwhile(leaf.accept)
    leg = root.join(leaf.local_address)
    return leg, accepting.result()


def accept_only(listener: MultipointSocket, caller_data: bytes) -> MultipointSocket:
    """Accept the request with this caller data; what waits before it, perhaps cancelled already, is rejected."""

    def condition(caller: Caller) -> Verdict:
        return Verdict(c.CF_ACCEPT if caller.data == caller_data else c.CF_REJECT)

    while True:
        try:
            return listener.accept(condition)
        except MultipointError as failure:
            if failure.code not in (c.WSAECONNREFUSED, c.WSAEACCES):
                raise


def says(action: int, callee_data: bytes = b"") -> Condition:
    """Return a condition function with a fixed verdict."""
    return lambda _: Verdict(action, callee_data)


def wait_till_blocked(sock: MultipointSocket) -> None:
    """Wait until a thread sleeps in a blocking call on the socket."""
    while not (sock._waiters or sock.changed._waiters or sock.stack.reactor._driver is sock):  # type: ignore[attr-defined]
        os.sched_yield()


def code_of(call: Callable[[], object]) -> int:
    """Return the WSA code with which a call fails."""
    with pytest.raises(MultipointError) as failure:
        call()
    return failure.value.code


def code_or_none(call: Callable[[], object]) -> int | None:
    """Return the WSA code with which a call fails, None if it doesn't."""
    try:
        call()
    except MultipointError as failure:
        return failure.code
    return None
