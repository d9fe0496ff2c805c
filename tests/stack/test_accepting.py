"""listen, accept and WSAAccept call by call: parameters, codes, the queue's events, what the new socket is like."""

import resource
import socket
import time
from functools import partial

import pytest
from tests.stack.calls import ANYWHERE, a_socket, failure, name_of, number
from tests.stack.flows import get_qos, sending, start
from tests.stack.network import isolated
from tests.stack.people import (
    CONFERENCE_ROOT,
    LEAF,
    PATIENCE_S,
    ROOT,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    code_of,
    code_or_none,
    says,
    wait_till_blocked,
)
from tests.stack.test_sockets import descriptors
from tests.stack.test_strangers import is_turned_away
from tests.stack.test_winsock import a_listening, events_of, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.events import NetworkEvent
from multipoint.flow import QOS
from multipoint.kinds import JoinRole
from multipoint.layouts import LINGER, WSABUF
from multipoint.stack import Stack
from multipoint.values import Caller, JoinRequest, Ref, Verdict

LISTENERS = pytest.mark.parametrize("listens", [ROOT, LEAF], ids=["root", "leaf"])


def asking(listens: int, name: bytes, answer: WSABUF | None = None) -> int:
    """Ask, or invite, without waiting; return who asks."""
    s = a_socket(LEAF if listens == ROOT else ROOT)
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    assert join(s, name, lpCalleeData=answer) != c.INVALID_SOCKET
    return s


@pytest.mark.requirement("AC-01", "AC-02", "AC-05", "AC-14")
@pytest.mark.parametrize(("protocol", "flags"), [(302, ROOT), (302, LEAF), (303, CONFERENCE_ROOT), (303, LEAF)])
@isolated
def test_rooted_sockets_listen_once_they_are_bound(protocol: int, flags: int) -> None:
    start()
    s = a_socket(flags, protocol)
    for is_bound in (False, True):
        assert failure(ws.accept(s, None, None)) == c.WSAEINVAL
        assert failure(ws.WSAAccept(s, None, None, lambda *_: c.CF_ACCEPT, None)) == c.WSAEINVAL
        if not is_bound:
            assert failure(ws.listen(s, 5)) == c.WSAEINVAL
            assert ws.bind(s, ANYWHERE, 16) == 0
    assert ws.listen(s, 1) == ws.listen(s, 5) == 0
    assert number(s, c.SO_ACCEPTCONN) == 1


@pytest.mark.requirement("AC-04", "AC-15")
@pytest.mark.parametrize("protocol", [17, 301])
@isolated
def test_plain_sockets_neither_listen_nor_accept(protocol: int) -> None:
    start()
    s = a_socket(LEAF, protocol)
    for _ in ("unbound", "bound"):
        assert failure(ws.listen(s, 5)) == c.WSAEOPNOTSUPP
        assert failure(ws.accept(s, None, None)) == c.WSAEOPNOTSUPP
        assert failure(ws.WSAAccept(s, None, None, lambda *_: c.CF_ACCEPT, None)) == c.WSAEOPNOTSUPP
        ws.bind(s, ANYWHERE, 16)


@pytest.mark.requirement("AC-08", "AC-17")
@LISTENERS
@isolated
def test_listener_that_is_closed(listens: int) -> None:
    start()
    s, _ = a_listening(listens)
    assert ws.closesocket(s) == 0
    assert failure(ws.listen(s, 5)) == failure(ws.accept(s, None, None)) == c.WSAENOTSOCK


@pytest.mark.requirement("AC-08", "AC-17")
@isolated
def test_no_descriptor_is_left_to_listen_with_or_for_the_sessions_data() -> None:
    with Stack() as stack:
        root, leaf, other = a_root(stack), a_leaf(stack), a_leaf(stack)
        root.set_blocking(False)
        # A join that has failed has taken the reserved port with it.
        assert code_of(lambda: other.join(("127.0.0.1", 9))) == c.WSAECONNREFUSED
        joining, watcher = Meanwhile(lambda: leaf.join(root.local_address)), Watcher(root, c.FD_ACCEPT)
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + 1, hard))
        while code_or_none(lambda: taken.append(stack.socket(c.AF_INET, c.SOCK_DGRAM))) is None:
            pass
        assert code_of(other.listen) == c.WSAEMFILE
        assert code_of(root.accept) == c.WSAEMFILE
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert code_of(joining.result) == c.WSAECONNREFUSED
        other.listen()


@pytest.mark.requirement("AC-05", "AC-06", "AC-07")
@LISTENERS
@isolated
def test_full_queue_refuses_whatever_a_second_listen_says(listens: int) -> None:
    start()
    s = a_socket(listens)
    assert ws.bind(s, ANYWHERE, 16) == ws.listen(s, -7) == ws.listen(s, c.SOMAXCONN) == 0
    name, event = ws.sockaddr(*name_of(s)).pack(), ws.WSACreateEvent()
    assert ws.WSAEventSelect(s, event, c.FD_ACCEPT) == 0
    asking(listens, name)
    assert events_of(s, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    late = a_socket(LEAF if listens == ROOT else ROOT)
    assert failure(join(late, name)) == c.WSAECONNREFUSED
    assert ws.accept(s, None, None) != c.INVALID_SOCKET


@pytest.mark.requirement("AC-09", "D-62", "EV-38")
@LISTENERS
@isolated
def test_other_connections_are_closed_without_an_event(listens: int) -> None:
    start()
    s, name = a_listening(listens)
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(s, event, c.FD_ACCEPT) == 0
    with socket.create_connection(name_of(s), PATIENCE_S) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_turned_away(stranger)
    # Of another class, and from the wrong end of a session
    for flags, protocol in ((LEAF if listens == ROOT else CONFERENCE_ROOT, 303), (listens, 302)):
        assert failure(join(a_socket(flags, protocol), name)) == c.WSAECONNREFUSED
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    assert failure(ws.accept(s, None, None)) == c.WSAEWOULDBLOCK
    asking(listens, name)
    assert events_of(s, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}


@pytest.mark.requirement("AC-20", "AC-21", "AC-22", "AC-30")
@isolated
def test_what_a_condition_function_is_given() -> None:
    start()
    root, name = a_listening(ROOT)
    for data, room, flows, capacity in (
        (None, None, None, 0),
        (b"who's there", 3, sending(1000), 3),
        (b"", 2000, None, 1024),
    ):
        leaf = a_socket()
        answer = None if room is None else WSABUF(room, bytearray(room))
        said = None if data is None else WSABUF(len(data), data)
        joining = Meanwhile(partial(join, leaf, name, lpCallerData=said, lpCalleeData=answer, lpSQOS=flows))
        kept: list[object] = []
        lengths: list[int] = []

        def condition(*arguments: object) -> int:
            kept.extend(arguments)  # noqa: B023
            callee = arguments[5]
            assert isinstance(callee, WSABUF)
            lengths.append(callee.len)  # noqa: B023
            callee.len = 0
            return c.CF_ACCEPT

        assert ws.WSAAccept(root, None, None, condition, 4711) != c.INVALID_SOCKET
        caller_id, caller_data, sqos, gqos, callee_id, callee, g, mine = kept
        assert isinstance(callee, WSABUF)
        # What the function has kept is no business of the join any more.
        callee.buf, callee.len = bytearray(b"bad"), 3
        if isinstance(sqos, QOS):
            assert sqos == flows
            sqos.SendingFlowspec.TokenRate = 1
        assert joining.result() == leaf
        assert isinstance(caller_id, WSABUF)
        assert isinstance(callee_id, WSABUF)
        assert ws.address(bytes(caller_id.buf or b"")) == name_of(leaf)
        assert ws.address(bytes(callee_id.buf or b"")) == name_of(root)
        assert (caller_data.buf if isinstance(caller_data, WSABUF) else None) == (data or None)
        assert (sqos is None, gqos, g, mine, lengths) == (flows is None, None, Ref(0), 4711, [capacity])
        assert answer is None or answer.len == 0
        assert flows is None or get_qos(leaf).SendingFlowspec.TokenRate == 1000


@pytest.mark.requirement("AC-22", "JL-62")
@LISTENERS
@isolated
def test_room_for_more_than_the_provider_takes_is_no_mistake(listens: int) -> None:
    start()
    s, name = a_listening(listens)
    answer = WSABUF(5000, bytearray(5000))
    asking(listens, name, answer)

    def condition(*arguments: object) -> int:
        callee = arguments[5]
        assert isinstance(callee, WSABUF)
        assert callee.len == 1024
        callee.buf = b"x" * 1024
        return c.CF_ACCEPT

    assert ws.WSAAccept(s, None, None, condition, None) != c.INVALID_SOCKET


@pytest.mark.requirement("AC-30")
@isolated
def test_plain_accept_drops_caller_data_and_answers_nothing() -> None:
    start()
    root, name = a_listening(ROOT)
    answer = WSABUF(9, bytearray(9))
    joining = Meanwhile(partial(join, a_socket(), name, lpCallerData=WSABUF(2, b"hi"), lpCalleeData=answer))
    assert ws.accept(root, None, None) != c.INVALID_SOCKET
    joining.result()
    assert (answer.len, answer.buf) == (0, bytearray(9))


@pytest.mark.requirement("AC-10", "AC-11", "AC-19", "EV-15")
@LISTENERS
@isolated
def test_accepted_socket_is_like_its_listener(listens: int) -> None:
    start()
    s, name = a_listening(listens | c.WSA_FLAG_OVERLAPPED)
    event, linger = ws.WSACreateEvent(), LINGER(1, 7).pack()
    assert ws.setsockopt(s, c.SOL_SOCKET, c.SO_LINGER, linger, 4) == 0
    assert ws.WSAEventSelect(s, event, c.FD_ACCEPT | c.FD_CLOSE) == 0
    peer = asking(listens, name)
    assert events_of(s, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    new = ws.WSAAccept(s, None, None, None, None)
    found = bytearray(4)
    assert ws.getsockopt(new, c.SOL_SOCKET, c.SO_LINGER, found, Ref(4)) == 0
    assert found == linger
    at_peer = ws.WSACreateEvent()
    assert ws.WSAEventSelect(peer, at_peer, c.FD_CONNECT) == 0
    assert events_of(peer, at_peer, c.FD_CONNECT) == {c.FD_CONNECT: 0}
    # Nonblocking, and overlapped
    assert failure(ws.recv(new, bytearray(9), 9, 0)) == c.WSAEWOULDBLOCK
    begun = ws.WSARecv(new, [WSABUF(9, bytearray(9))], 1, None, Ref(0), ws.WSAOVERLAPPED(), None)
    assert failure(begun) == c.WSA_IO_PENDING
    assert number(s, c.SO_ACCEPTCONN) == 1
    # The event object is the listener's, the record is the new socket's own.
    assert ws.closesocket(peer) == 0
    assert events_of(new, event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    assert failure(ws.accept(s, None, None)) == c.WSAEWOULDBLOCK


@pytest.mark.requirement("AC-10", "AC-12", "AC-24", "AC-25", "AC-26", "EV-29")
@isolated
def test_requests_are_announced_and_decided_one_after_the_other() -> None:
    with Stack() as stack:
        root = a_root(stack)
        watcher = Watcher(root, c.FD_ACCEPT)

        def ask(data: bytes) -> Meanwhile[object]:
            leaf = a_leaf(stack)
            joining = Meanwhile[object](lambda: leaf.join(root.local_address, JoinRequest(caller_data=data)))
            wait_till_blocked(leaf)
            return joining

        first = ask(b"1")
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        assert code_of(lambda: root.accept(says(c.CF_DEFER))) == c.WSATRY_AGAIN
        others = [ask(data) for data in (b"2", b"3")]
        while len(root.door._waiting) < 3:  # type: ignore[attr-defined]
            pass
        # Neither they nor the call are news while the first one is not decided.
        assert root.enumerate_events() == {}
        seen: list[bytes] = []

        def reject(caller: Caller) -> Verdict:
            seen.append(caller.data)
            return Verdict(c.CF_REJECT)

        assert first.is_running
        assert code_of(lambda: root.accept(reject)) == c.WSAECONNREFUSED
        assert code_of(first.result) == c.WSAECONNREFUSED
        assert root.enumerate_events() == {NetworkEvent.ACCEPT: 0}
        # One of the two was first; the other is announced when that is decided, and not before.
        assert all(other.is_running for other in others)
        root.accept()
        assert root.enumerate_events() == {NetworkEvent.ACCEPT: 0}
        root.accept()
        assert root.enumerate_events() == {}
        assert seen == [b"1"]
        for other in others:
            other.result()


@pytest.mark.requirement("AC-31", "EV-36", "EV-37", "EV-15")
@pytest.mark.parametrize("role", JoinRole)
@isolated
def test_accepted_member_records_what_its_role_can_do(role: JoinRole) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_listening_leaf(stack)
        inviting, watcher = Watcher(root, c.FD_CONNECT), Watcher(leaf)
        root.join(leaf.local_address, JoinRequest(role))
        assert watcher.wait_for(leaf, NetworkEvent.ACCEPT) == 0
        member = leaf.accept()
        assert inviting.wait_for(root, NetworkEvent.CONNECT) == 0
        # The root's confirmation has come.
        while code_or_none(lambda: member.peer_data_address) == c.WSAENOTCONN:  # type: ignore[attr-defined]
            pass
        root.send(b"at once")
        root.close()
        seen = NetworkEvent.NONE
        deadline = time.monotonic() + PATIENCE_S
        while NetworkEvent.CLOSE not in seen:
            assert time.monotonic() < deadline, seen
            for event in member.enumerate_events():
                seen |= event
            if NetworkEvent.READ in seen:
                code_or_none(member.receive)
        # The member's role is the mirror of the root's.
        expected = NetworkEvent.CLOSE
        expected |= NetworkEvent.WRITE if role.receives else NetworkEvent.NONE
        expected |= NetworkEvent.READ if role.sends else NetworkEvent.NONE
        assert seen == expected
