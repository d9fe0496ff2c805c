"""The last WSACleanup, the end of a stack, joins that are called off: silent, whole, whatever else is going on."""

import os
import socket
from collections.abc import Callable

import pytest
from tests.stack.calls import ANYWHERE, a_socket, failure, start
from tests.stack.flows import sending
from tests.stack.network import isolated
from tests.stack.people import (
    LEAF,
    ROOT,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    accept_only,
    admit,
    code_of,
    wait_till_blocked,
)
from tests.stack.test_winsock import a_listening, join

from multipoint import constants as c
from multipoint import signals, threads, wire
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.layouts import WSABUF, WSADATA
from multipoint.stack import Stack
from multipoint.values import JoinRequest, Ref, Settings
from multipoint.winsock import WSAOVERLAPPED
from multipoint.wire import Endpoint

WAIT = (c.WSA_INFINITE, False)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208


def a_peer_by_hand(root_at: tuple[str, int]) -> socket.socket:
    """Ask to be let in, and never hang up."""
    peer = socket.create_connection(root_at)
    request = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, Endpoint("127.0.0.1", 9))
    peer.sendall(wire.encode(wire.Hello()) + wire.encode(request))
    return peer


@pytest.mark.requirement("SU-09", "SU-10", "SU-12")
@isolated
def test_clean_up_tells_nobody_and_aborts_what_is_pending() -> None:
    start()
    root, name = a_listening(ROOT | c.WSA_FLAG_OVERLAPPED)
    legs = []
    for _ in range(8):
        accepting = Meanwhile(lambda: ws.accept(root, None, None))
        assert join(a_socket(), name) != c.INVALID_SOCKET
        legs.append(accepting.result())
    pending = [WSAOVERLAPPED() for _ in legs]
    for leg, overlapped in zip(legs, pending, strict=True):
        assert failure(ws.WSARecv(leg, [WSABUF(9, bytearray(9))], 1, None, Ref(0), overlapped, None)) == 997
    event, queue = ws.WSACreateEvent(), ws.create_queue()
    for leg in legs[::2]:
        assert ws.WSAEventSelect(leg, event, c.FD_CLOSE) == 0
    for leg in legs[1::2]:
        assert ws.WSAAsyncSelect(leg, queue, 1, c.FD_CLOSE) == 0
    assert ws.WSACleanup() == 0
    assert [overlapped.Internal for overlapped in pending] == [c.WSA_OPERATION_ABORTED] * 8
    start()
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    assert ws.get_message(queue, 0) is None


@pytest.mark.requirement("SU-09")
@isolated
def test_clean_up_ends_blocking_calls_and_tells_nothing_of_pending_joins() -> None:
    start()
    root, name = a_listening(ROOT)
    _, silent_root = a_listening(ROOT)
    _, silent_leaf = a_listening(LEAF)
    member, blocking, asking, inviting = a_socket(), a_socket(), a_socket(), a_socket(ROOT)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(member, name) == member
    accepting.result()
    event = ws.WSACreateEvent()
    for s, to in ((asking, silent_root), (inviting, silent_leaf)):
        assert ws.WSAEventSelect(s, event, c.FD_CONNECT | c.FD_CLOSE) == 0
        assert join(s, to) != c.INVALID_SOCKET
    calls: dict[int, Callable[[], int]] = {
        root: lambda: ws.accept(root, None, None),
        member: lambda: ws.recv(member, bytearray(9), 9, 0),
        blocking: lambda: join(blocking, silent_root),
    }
    waiting = [Meanwhile(call) for call in calls.values()]
    for s in calls:
        wait_till_blocked(process.sockets.get(s))
    assert ws.WSACleanup() == 0
    for call in waiting:
        assert call.result() in (c.SOCKET_ERROR, c.INVALID_SOCKET)
    start()
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT


@pytest.mark.requirement("SU-09")
@isolated
def test_clean_up_ends_a_wait_that_nothing_could_end() -> None:
    start()
    event, s = ws.WSACreateEvent(), a_listening(ROOT)[0]
    waiting = Meanwhile(lambda: (ws.WSAWaitForMultipleEvents(1, [event], False, *WAIT), ws.WSAGetLastError()))
    selecting = Meanwhile(lambda: (ws.select(0, ws.fd_set([s]), None, None, None), ws.WSAGetLastError()))
    wait_till_blocked(process.sockets.get(s))
    while not signals._changed._waiters:  # type: ignore[attr-defined]
        os.sched_yield()
    assert ws.WSACleanup() == 0
    assert waiting.result() == (c.WSA_WAIT_FAILED, c.WSANOTINITIALISED)
    assert selecting.result() == (c.SOCKET_ERROR, c.WSAEINTR)


@pytest.mark.requirement("SU-12", "SU-23")
@isolated
def test_who_starts_during_a_clean_up_keeps_his_sockets() -> None:
    start()
    stack = process.stack

    def begin() -> int:
        assert ws.WSAStartup(0x0202, WSADATA()) == 0
        return a_socket()

    with stack.lock:
        ending = Meanwhile(ws.WSACleanup)
        while process.is_started:
            os.sched_yield()
        beginning = Meanwhile(begin)
        # If it can come to its end before the other, it does so by now.
        beginning._thread.join(0.05)
    assert ending.result() == 0
    assert ws.bind(beginning.result(), ANYWHERE, 16) == 0


@pytest.mark.requirement("SU-09", "CL-22", "CL-25")
@isolated
def test_clean_up_while_another_thread_lingers_in_closesocket() -> None:
    start()
    root, _ = a_listening(ROOT)
    sock = process.sockets.get(root)
    peer = a_peer_by_hand(sock.local_address)
    leg = ws.accept(root, None, None)
    assert ws.setsockopt(leg, c.SOL_SOCKET, c.SO_LINGER, (1 | 60 << 16).to_bytes(4, "little"), 4) == 0
    lingering = process.sockets.get(leg)
    closing = Meanwhile(lambda: ws.closesocket(leg))
    wait_till_blocked(lingering)
    assert ws.WSACleanup() == 0
    assert closing.result() == 0
    peer.close()


@pytest.mark.requirement("SU-06", "SU-11")
@isolated
def test_closed_stack_is_closed() -> None:
    before = descriptors()
    with Stack() as stack:
        root = a_root(stack)
        with a_peer_by_hand(root.local_address) as peer:
            leg = root.accept()
            # Both go on saying farewell when their sockets are closed already.
            leg.close()
            root.close()
            assert stack.connections
            stack.close()
            assert not stack.connections
            stack.close()
            peer.close()
        assert code_of(stack.socket) == c.WSANOTINITIALISED
        assert code_of(lambda: stack.set_capacity("lo", 1)) == c.WSANOTINITIALISED
    assert descriptors() == before


@pytest.mark.requirement("JL-41", "D-16", "JL-61")
@pytest.mark.parametrize("linger", [(False, 0), (True, 0)])
@isolated
def test_root_that_is_closed_tells_the_leg_of_its_pending_join(linger: tuple[bool, int]) -> None:
    with Stack() as stack:
        root, leaf, heard = a_root(stack), a_listening_leaf(stack), list[bytes]()
        root.options.linger = linger
        watcher = Watcher(root)
        leg = root.join(leaf.local_address, JoinRequest(deliver=heard.append))
        root.close()
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == c.WSAECONNABORTED
        assert heard == [b""]


@pytest.mark.requirement("QS-04", "QS-38", "JL-61", "JL-73", "CL-25")
@pytest.mark.parametrize("who", ["leaf", "root"])
@pytest.mark.parametrize("how", ["cancelled", "closed"])
@isolated
def test_join_that_is_called_off_gives_back_what_it_took(who: str, how: str) -> None:
    with Stack(Settings(dialect="spec1990", capacities={"lo": 100_000})) as stack:
        listener = a_root(stack) if who == "leaf" else a_listening_leaf(stack)
        asking = a_leaf(stack) if who == "leaf" else a_root(stack)
        heard = list[bytes]()
        request = JoinRequest(qos=sending(80_000), deliver=heard.append)
        joining = Meanwhile(lambda: asking.join(listener.local_address, request))
        wait_till_blocked(asking)
        if how == "closed":
            asking.close()
        else:
            threads.cancel()
        assert code_of(joining.result) == c.WSAEINTR
        assert heard == [b""]
        other = a_leaf(stack)
        other.bind(("127.0.0.1", 0))
        other.set_qos(sending(80_000))
        if how == "cancelled":
            other.close()
            # What was there before is back: nothing.
            # A root of its own: the other one may hear of the new request before the old one is taken back.
            admit(a_root(stack), asking) if who == "leaf" else None
            assert not asking.quality.is_specified  # type: ignore[attr-defined]


@pytest.mark.requirement("JL-73", "DI-07")
@isolated
def test_join_that_ends_while_it_is_cancelled() -> None:
    with Stack(Settings(dialect="spec1990")) as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        watcher = Watcher(root)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        wait_till_blocked(leaf)
        # Nobody looks before both have happened.
        with stack.lock:
            connection = leaf._connection  # type: ignore[attr-defined]
            connection.link.broken(c.WSAENETUNREACH, 0.0)
            connection.pump()
            threads.cancel()
        assert code_of(joining.result) == c.WSAENETUNREACH
        admit(a_root(stack), leaf)


@pytest.mark.requirement("JL-32", "JL-37", "SU-23")
@isolated
def test_join_that_fails_is_told_even_if_another_thread_has_begun_the_next() -> None:
    with Stack() as stack:
        root, other, leaf = a_root(stack), a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        wait_till_blocked(leaf)
        # Nobody looks in between.
        with stack.lock:
            connection = leaf._connection  # type: ignore[attr-defined]
            connection.link.broken(c.WSAENETUNREACH, 0.0)
            connection.pump()
            leaf.set_blocking(False)
            leaf.join(other.local_address)
        assert code_of(joining.result) == c.WSAENETUNREACH
        assert other.accept().peer_address.port == leaf.local_address.port


class ProgramFault(Exception):
    """What a program's own routine raises."""


@pytest.mark.requirement("JL-74", "JL-37")
@pytest.mark.parametrize("who", ["leaf", "root"])
@isolated
def test_join_whose_routine_raises_is_outstanding_no_more(who: str) -> None:
    with Stack() as stack:
        listener = a_root(stack) if who == "leaf" else a_listening_leaf(stack)
        asking = a_leaf(stack) if who == "leaf" else a_root(stack)

        def fail() -> None:
            raise ProgramFault

        def join() -> None:
            routines.append(threads.current())
            asking.join(listener.local_address)

        routines = list[threads.ProgramThread]()
        joining = Meanwhile(join)
        wait_till_blocked(asking)
        before = len(stack.sockets)
        routines[0].post(fail)
        with pytest.raises(ProgramFault):
            joining.result()
        assert len(stack.sockets) == before - (who == "root")
        again = Meanwhile(lambda: asking.join(listener.local_address, JoinRequest(caller_data=b"again")))
        accept_only(listener, b"again")
        again.result()
