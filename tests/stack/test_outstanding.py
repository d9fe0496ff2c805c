"""Joins that are outstanding: on one socket only once, on others side by side, one after the other on a c_root."""

from typing import Any

import pytest
from tests.stack.calls import failure, start
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, wait_till_blocked
from tests.stack.test_winsock import NOBODY, a_listening, a_socket, events_of, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.layouts import WSABUF, WSANETWORKEVENTS
from multipoint.values import Ref


def nonblocking(s: int) -> int:
    """Return the socket, which blocks no more."""
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    return s


def watched(s: int, mask: int) -> int:
    """Return the event object of a new registration."""
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(s, event, mask) == 0
    return event


@pytest.mark.requirement("JL-33", "JL-31")
@isolated
def test_joins_of_different_sockets_are_independent() -> None:
    start()
    root, name = a_listening(ROOT)
    listening, leaf_name = a_listening(LEAF)
    requests = watched(root, c.FD_ACCEPT | c.FD_CONNECT)
    leg = join(root, leaf_name)
    leaves = [nonblocking(a_socket(LEAF)) for _ in range(4)]
    others = [nonblocking(a_socket(ROOT)) for _ in range(3)]
    assert [join(leaf, name) for leaf in leaves] == leaves
    legs = {join(other, leaf_name) for other in others}
    assert len(legs - {c.INVALID_SOCKET}) == 3
    for s in (root, *leaves, *others):
        assert failure(join(s, NOBODY)) == c.WSAEALREADY
    # The c_root that invites accepts meanwhile, all the four.
    for _ in leaves:
        assert events_of(root, requests, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
        assert ws.accept(root, None, None) != c.INVALID_SOCKET
    for leaf in leaves:
        assert events_of(leaf, watched(leaf, c.FD_CONNECT), c.FD_CONNECT) == {c.FD_CONNECT: 0}
    assert failure(ws.send(leg, b"not yet", 7, 0)) == c.WSAENOTCONN
    for _ in (root, *others):
        assert ws.accept(listening, None, None) != c.INVALID_SOCKET
    assert events_of(root, requests, c.FD_CONNECT) == {c.FD_CONNECT: 0}
    for other in others:
        assert events_of(other, watched(other, c.FD_CONNECT), c.FD_CONNECT) == {c.FD_CONNECT: 0}


@pytest.mark.requirement("JL-32", "JL-31", "JL-24")
@pytest.mark.parametrize("flags", [LEAF, ROOT], ids=["leaf", "root"])
@isolated
def test_join_that_blocks_another_thread_is_outstanding(flags: int) -> None:
    start()
    listener, name = a_listening(ROOT if flags == LEAF else LEAF)
    joiner = a_socket(flags)
    joining = Meanwhile(lambda: join(joiner, name))
    wait_till_blocked(process.sockets.get(joiner))
    # Whatever it is given, be it the address that is asked already, or one that would be refused.
    for other in (name, NOBODY, ws.sockaddr("0.0.0.0", 0)):
        assert failure(join(joiner, other)) == c.WSAEALREADY
    assert ws.accept(listener, None, None) != c.INVALID_SOCKET
    assert joining.result() != c.INVALID_SOCKET


@pytest.mark.requirement("JL-79", "JL-35", "EV-30", "JL-42")
@isolated
def test_event_of_a_root_belongs_to_its_latest_join() -> None:
    start()
    root = a_socket(ROOT)
    event = watched(root, c.FD_CONNECT)
    legs = set()
    for _ in range(3):
        listening, name = a_listening(LEAF)
        # Told by the object, and not read: the next join wipes it.
        assert join(root, NOBODY) != c.INVALID_SOCKET
        assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
        legs.add(join(root, name))
        found = WSANETWORKEVENTS()
        assert ws.WSAEnumNetworkEvents(root, event, found) == 0
        assert found.lNetworkEvents == 0
        assert ws.accept(listening, None, None) != c.INVALID_SOCKET
        assert events_of(root, event, c.FD_CONNECT) == {c.FD_CONNECT: 0}
    assert len(legs - {c.INVALID_SOCKET}) == 3
    for leg in legs:
        assert ws.send(leg, b"you", 3, 0) == 3


@pytest.mark.requirement("JL-77", "JL-78", "JL-52", "JL-34")
@isolated
def test_who_listens_or_was_accepted_does_not_join() -> None:
    start()
    listening, leaf_name = a_listening(LEAF)
    root, name = a_listening(ROOT)
    assert failure(join(listening, name)) == c.WSAEINVAL
    # A c_root that listens may: this makes a leg here and a member there.
    inviting = Meanwhile(lambda: join(root, leaf_name))
    member = ws.accept(listening, None, None)
    for s in (member, inviting.result()):
        assert failure(join(s, name)) == c.WSAEISCONN
    assert failure(join(root, leaf_name)) == c.WSAEISCONN
    assert failure(join(listening, name)) == c.WSAEINVAL


@pytest.mark.requirement("JL-60", "JL-62", "AC-22", "JL-61")
@pytest.mark.parametrize("way", ["asks", "is invited"])
@isolated
def test_room_for_more_callee_data_than_there_can_be(way: str) -> None:
    start()
    listener, name = a_listening(ROOT if way == "asks" else LEAF)
    joiner = a_socket(LEAF if way == "asks" else ROOT)
    most = bytes(range(256)) * 4
    answer = WSABUF(70_000, bytearray(70_000))

    def condition(*given: Any) -> int:
        assert given[5].len == len(most)
        given[5].buf[:] = most
        return c.CF_ACCEPT

    accepting = Meanwhile(lambda: ws.WSAAccept(listener, None, None, condition, None))
    assert join(joiner, name, lpCalleeData=answer) != c.INVALID_SOCKET
    assert accepting.result() != c.INVALID_SOCKET
    assert answer.buf is not None
    assert (answer.len, answer.buf[: answer.len]) == (len(most), most)


@pytest.mark.requirement("AC-30", "JL-61", "JL-60")
@pytest.mark.parametrize("call", ["accept", "WSAAccept"])
@isolated
def test_plain_accept_takes_and_gives_no_data(call: str) -> None:
    start()
    root, name = a_listening(ROOT)
    leaf, answer = a_socket(LEAF), WSABUF(5, bytearray(b"-----"))
    joining = Meanwhile(lambda: join(leaf, name, lpCallerData=WSABUF(2, b"hi"), lpCalleeData=answer))
    leg = ws.accept(root, None, None) if call == "accept" else ws.WSAAccept(root, None, None, None, None)
    assert joining.result() == leaf
    assert (answer.len, answer.buf) == (0, b"-----")
    # The caller's data is in nobody's way: what comes first is a message.
    assert ws.sendto(leaf, b"chat", 4, 0, name, 16) == 4
    room = bytearray(9)
    assert ws.recv(leg, room, 9, 0) == 4
    assert room[:4] == b"chat"


@pytest.mark.requirement("EV-44", "EV-42", "CL-28")
@isolated
def test_close_is_recorded_after_ones_own_shutdown() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf = a_socket(LEAF)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    leg = accepting.result()
    event, leg_event = watched(leaf, c.FD_CLOSE), watched(leg, c.FD_CLOSE)
    assert ws.shutdown(leaf, c.SD_SEND) == 0
    # The other end is told, and has not ended itself yet.
    assert events_of(leg, leg_event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    found = WSANETWORKEVENTS()
    assert ws.WSAEnumNetworkEvents(leaf, None, found) == 0
    assert found.lNetworkEvents == 0
    assert ws.closesocket(leg) == 0
    assert events_of(leaf, event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    # A closed socket records nothing: its object stays as it was.
    assert ws.WSAResetEvent(leg_event)
    assert ws.WSAWaitForMultipleEvents(1, [leg_event], False, 0, False) == c.WSA_WAIT_TIMEOUT
