"""WSAJoinLeaf does all in one call: joins, exchanges connect data, sets flows; or it has done nothing at all."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.stack.calls import GROUP, a_socket, failure, number, start
from tests.stack.flows import rate, sending, set_qos
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile
from tests.stack.test_winsock import events_of

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import FLOWSPEC, QOS
from multipoint.layouts import LINGER, WSABUF, WSANETWORKEVENTS
from multipoint.values import Ref, sockaddr

HOSTS = {c.AF_INET: "127.0.0.1", c.AF_INET6: "::1"}
FAMILIES = pytest.mark.parametrize("family", HOSTS, ids=["IPv4", "IPv6"])
BYTES = b"\0what\0ever\xff"
UNFULFILLABLE = QOS(SendingFlowspec=FLOWSPEC(TokenRate=0, ServiceType=c.SERVICETYPE_GUARANTEED))


def a_listener(flags: int, family: int = c.AF_INET, g: int = 0) -> tuple[int, bytes]:
    """Return a listening socket and its name."""
    s, name, length = ws.WSASocket(family, 0, 302, None, g, flags), bytearray(28), Ref(28)
    assert ws.bind(s, sockaddr(HOSTS[family], 0), 28) == ws.listen(s, 5) == 0
    assert ws.getsockname(s, name, length) == 0
    return s, bytes(name[: length.value])


def join(s: int, name: Any, data: WSABUF | None = None, answer: WSABUF | None = None, qos: QOS | None = None) -> int:
    return ws.WSAJoinLeaf(s, name, 28 if len(name) == 28 else 16, data, answer, qos, None, c.JL_BOTH)


def says(action: int, words: bytes, seen: list[tuple[Any, ...]]) -> Callable[..., int]:
    """Return a condition function that answers with these words."""

    def condition(*given: Any) -> int:
        seen.append(given)
        answer = given[5]
        answer.buf[: len(words)], answer.len = words, len(words)
        return action

    return condition


@pytest.mark.requirement("JL-01", "JL-03", "JL-58", "JL-60", "JL-61", "JL-62", "JL-63")
@FAMILIES
@pytest.mark.parametrize("who", ["leaf", "root"])
@isolated
def test_one_call_joins_exchanges_data_and_sets_flows(who: str, family: int) -> None:
    start()
    asked, name = a_listener(ROOT if who == "leaf" else LEAF, family)
    asking = ws.WSASocket(family, 0, 302, None, 0, LEAF if who == "leaf" else ROOT)
    seen: list[tuple[Any, ...]] = []
    accepting = Meanwhile(lambda: ws.WSAAccept(asked, None, None, says(c.CF_ACCEPT, BYTES[::-1], seen), None))
    answer = WSABUF(20, bytearray(b"." * 20))
    joined = join(asking, name, WSABUF(len(BYTES), BYTES), answer, sending(1000))
    # All of it holds on return.
    assert (joined == asking) is (who == "leaf")
    assert ws.getpeername(joined, bytearray(28), Ref(28)) == 0
    assert (answer.len, bytes(answer.buf or b"")) == (len(BYTES), BYTES[::-1] + b"." * (20 - len(BYTES)))
    assert rate(asking) == 1000
    assert accepting.result() != c.INVALID_SOCKET
    data, qos, capacity = seen[0][1], seen[0][2], seen[0][5]
    assert (data.len, bytes(data.buf)) == (len(BYTES), BYTES)
    assert qos.SendingFlowspec.TokenRate == 1000
    assert capacity.len == len(BYTES)


@pytest.mark.requirement("JL-12", "JL-58", "JL-60", "JL-62")
@pytest.mark.parametrize("data", [None, WSABUF(0, None), WSABUF(0, b"unread")])
@isolated
def test_no_data_is_none_and_no_room_is_none(data: WSABUF | None) -> None:
    start()
    root, name = a_listener(ROOT)
    seen: list[tuple[Any, ...]] = []
    for answer in (None, WSABUF(0, None), WSABUF(4, bytearray(b"...."))):
        leaf, room = a_socket(), answer.len if answer else 0
        accepting = Meanwhile(lambda: ws.WSAAccept(root, None, None, says(c.CF_ACCEPT, b"", seen), None))
        assert join(leaf, name, data, answer) == leaf
        assert accepting.result() != c.INVALID_SOCKET
        assert seen[-1][1] is None
        assert len(seen[-1][5].buf) == room
        assert answer is None or (answer.len, bytes(answer.buf or b"")) == (0, b"." * room)


@pytest.mark.requirement("JL-65", "JL-61", "JL-66")
@pytest.mark.parametrize("blocks", [True, False])
@isolated
def test_refused_join_delivers_nothing(blocks: bool) -> None:
    start()
    root, name = a_listener(ROOT)
    leaf, event, answer = a_socket(), ws.WSACreateEvent(), WSABUF(9, bytearray(b"untouched"))
    if not blocks:
        assert ws.WSAEventSelect(leaf, event, c.FD_CONNECT) == 0
    rejecting = Meanwhile(lambda: ws.WSAAccept(root, None, None, says(c.CF_REJECT, b"no", []), None))
    if blocks:
        assert failure(join(leaf, name, None, answer)) == c.WSAECONNREFUSED
    else:
        assert join(leaf, name, None, answer) == leaf
        assert events_of(leaf, event, c.FD_CONNECT) == {c.FD_CONNECT: c.WSAECONNREFUSED}
    assert rejecting.result() == c.INVALID_SOCKET
    assert (answer.len, bytes(answer.buf or b"")) == (0, b"untouched")


# Mistakes change nothing


def mistakes(name: bytes) -> list[tuple[int, Callable[[int], int]]]:
    """Return calls that fail in steps 5 to 12 of JL-16, with their codes."""

    def call(place: int, value: Any, s: int) -> int:
        arguments: list[Any] = [name, 16, None, None, sending(500), None, c.JL_BOTH]
        arguments[place] = value
        return ws.WSAJoinLeaf(s, *arguments)

    return [
        (c.WSAEINVAL, lambda s: call(6, 3, s)),
        (c.WSAEFAULT, lambda s: call(1, 15, s)),
        (c.WSAEFAULT, lambda s: call(2, WSABUF(1025, bytes(1025)), s)),
        (c.WSAEFAULT, lambda s: call(3, WSABUF(5, None), s)),
        (c.WSAEFAULT, lambda s: call(4, b"short", s)),
        (c.WSAEAFNOSUPPORT, lambda s: call(0, b"\x17\0" + name[2:], s)),
        (c.WSAEADDRNOTAVAIL, lambda s: call(0, name[:2] + bytes(2) + name[4:], s)),
        (c.WSAEOPNOTSUPP, lambda s: call(4, UNFULFILLABLE, s)),
    ]


@pytest.mark.requirement("JL-18", "JL-80")
@pytest.mark.parametrize("who", ["leaf", "root"])
@isolated
def test_call_that_fails_at_once_has_done_nothing(who: str) -> None:
    start()
    asked, name = a_listener(ROOT if who == "leaf" else LEAF)
    s, event = a_socket(LEAF if who == "leaf" else ROOT), ws.WSACreateEvent()
    assert ws.WSAEventSelect(s, event, c.FD_CONNECT | c.FD_QOS) == 0
    assert set_qos(s, sending(700)) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    for code, call in mistakes(name):
        assert failure(call(s)) == code
        assert failure(ws.getsockname(s, bytearray(16), Ref(16))) == c.WSAEINVAL
        assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    # Nobody has been asked: the first request to come is the first that was made rightly, with the flows from before.
    seen: list[tuple[Any, ...]] = []
    assert join(s, name, WSABUF(5, b"right")) != c.INVALID_SOCKET
    assert ws.WSAAccept(asked, None, None, says(c.CF_ACCEPT, b"", seen), None) != c.INVALID_SOCKET
    assert seen[0][1].buf == b"right"
    assert events_of(s, event, c.FD_CONNECT)[c.FD_CONNECT] == 0
    assert rate(s) == 700


@pytest.mark.requirement("JL-18", "JL-80")
@isolated
def test_call_on_a_group_that_fails_at_once_has_done_nothing() -> None:
    start()
    s, event = a_socket(LEAF, 17), ws.WSACreateEvent()
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, (1).to_bytes(4, "big"), 4) == 0
    assert ws.WSAEventSelect(s, event, c.FD_CONNECT | c.FD_QOS) == 0
    assert set_qos(s, sending(700)) == 0
    for code, call in mistakes(GROUP.pack()):
        # Too much data is too much of what a group does not take.
        assert failure(call(s)) in (code, c.WSAEPROTONOSUPPORT)
        assert failure(ws.getsockname(s, bytearray(16), Ref(16))) == c.WSAEINVAL
        assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    assert join(s, GROUP.pack()) == s
    assert events_of(s, event, c.FD_CONNECT) == {c.FD_CONNECT: 0}
    assert rate(s) == 700


# What the leg gets from its root


@pytest.mark.requirement("JL-45", "JL-46", "JL-44", "JL-47")
@pytest.mark.parametrize("dialect", ["modern", "spec1990", "ce"])
@isolated
def test_leg_has_the_properties_of_its_root(dialect: str) -> None:
    start(dialect=dialect)
    leaf, name = a_listener(LEAF)
    root = a_socket(ROOT | c.WSA_FLAG_OVERLAPPED, g=c.SG_UNCONSTRAINED_GROUP)
    event = ws.WSACreateEvent()
    assert number(root, c.SO_GROUP_ID) != 0
    assert ws.setsockopt(root, c.SOL_SOCKET, c.SO_LINGER, LINGER(1, 0).pack(), 4) == 0
    assert ws.setsockopt(root, c.SOL_SOCKET, c.SO_RCVTIMEO, (20).to_bytes(4, "little"), 4) == 0
    assert ws.WSAEventSelect(root, event, c.FD_CONNECT | c.FD_CLOSE) == 0
    leg = join(root, name)
    assert leg not in (root, c.INVALID_SOCKET)
    member = ws.accept(leaf, None, None)
    assert events_of(root, event, c.FD_CONNECT) == {c.FD_CONNECT: 0}
    assert number(leg, c.SO_GROUP_ID) == 0
    assert (number(leg, c.SO_TYPE), number(leg, c.SO_RCVTIMEO)) == (c.SOCK_SEQPACKET, 20)
    linger = bytearray(4)
    assert ws.getsockopt(leg, c.SOL_SOCKET, c.SO_LINGER, linger, Ref(4)) == 0
    assert LINGER.unpack(linger) == LINGER(1, 0)
    # It is nonblocking, too.
    assert failure(ws.recv(leg, bytearray(9), 9, 0)) == c.WSAEWOULDBLOCK
    assert ws.closesocket(member) == 0
    assert events_of(leg, event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    found = WSANETWORKEVENTS()
    assert ws.WSAEnumNetworkEvents(root, event, found) == 0
    assert found.lNetworkEvents == 0
