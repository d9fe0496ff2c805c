"""Network events beyond the core's table: as messages, of several sockets, at the end of a registration."""

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile
from tests.stack.test_winsock import ANYWHERE, a_listening, a_socket, events_of, join, start

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.layouts import WSADATA, WSANETWORKEVENTS
from multipoint.values import Settings

WM = 0x400 + 7
GROUP = ws.sockaddr("239.1.2.3", 5000)


def a_group_socket() -> int:
    """Return a socket that can join a group on the loopback."""
    s = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF)
    assert ws.bind(s, ANYWHERE, 16) == 0
    return s


def next_event(queue: int) -> tuple[int, int, int]:
    """Return socket, event and error of the next message."""
    message = ws.get_message(queue, 5000)
    assert message
    assert (message.hwnd, message.message) == (queue, WM)
    return message.wParam, ws.WSAGETSELECTEVENT(message.lParam), ws.WSAGETSELECTERROR(message.lParam)


def nothing(queue: int) -> bool:
    return ws.get_message(queue, 0) is None


@pytest.mark.requirement("EV-23", "EV-15", "EV-41", "JL-26", "JL-45")
@isolated
def test_events_are_posted_one_message_each() -> None:
    start()
    queue = ws.create_queue()
    root, name = a_listening(ROOT)
    leaf = a_socket(LEAF)
    assert ws.WSAAsyncSelect(root, queue, WM, c.FD_ACCEPT | c.FD_READ | c.FD_CLOSE) == 0
    assert ws.WSAAsyncSelect(leaf, queue, WM, c.FD_ALL_EVENTS) == 0
    assert join(leaf, name) == leaf
    assert next_event(queue) == (root, c.FD_ACCEPT, 0)
    leg = ws.accept(root, None, None)
    assert [next_event(queue) for _ in range(2)] == [(leaf, c.FD_CONNECT, 0), (leaf, c.FD_WRITE, 0)]
    assert ws.send(root, b"one", 3, 0) == ws.send(root, b"two", 3, 0) == 3
    assert next_event(queue) == (leaf, c.FD_READ, 0)
    assert nothing(queue)
    assert ws.recv(leaf, bytearray(9), 9, 0) == 3
    assert next_event(queue) == (leaf, c.FD_READ, 0)
    assert ws.recv(leaf, bytearray(9), 9, 0) == 3
    # The leg has its parent's registration.
    assert ws.closesocket(leaf) == 0
    assert next_event(queue) == (leg, c.FD_CLOSE, 0)
    assert nothing(queue)


@pytest.mark.requirement("EV-23", "EV-10", "EV-09", "DI-09", "JL-29")
@isolated
def test_registrations_replace_each_other() -> None:
    start()
    queue, event, s = ws.create_queue(), ws.WSACreateEvent(), a_socket(LEAF)
    assert ws.WSAAsyncSelect(s, 3, WM, c.FD_READ) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEINVAL
    assert ws.WSAAsyncSelect(s, queue, WM, 0x400) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEINVAL
    plain = a_group_socket()
    assert ws.WSAAsyncSelect(plain, queue, WM, c.FD_WRITE) == 0
    assert ws.WSAEventSelect(plain, event, c.FD_CONNECT) == 0
    assert join(plain, GROUP) == plain
    assert events_of(plain, event, c.FD_CONNECT) == {c.FD_CONNECT: 0}
    assert nothing(queue)
    assert ws.WSAAsyncSelect(plain, queue, WM, c.FD_WRITE) == 0
    assert next_event(queue) == (plain, c.FD_WRITE, 0)
    assert ws.WSAResetEvent(event)
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    for _ in range(2):
        ws.WSACleanup()
    assert ws.WSAStartup(0x0202, WSADATA(), settings=Settings(dialect="ce")) == 0
    assert ws.WSAAsyncSelect(a_socket(LEAF), queue, WM, c.FD_READ) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP


@pytest.mark.requirement("EV-24", "EV-14", "CL-26")
@isolated
def test_messages_posted_before_the_end_are_still_there() -> None:
    start()
    queue = ws.create_queue()
    first, second = a_group_socket(), a_group_socket()
    for s in (first, second):
        assert ws.WSAAsyncSelect(s, queue, WM, c.FD_CONNECT) == 0
        assert join(s, GROUP) == s
    assert ws.WSAAsyncSelect(first, queue, 0, 0) == 0
    assert ws.closesocket(second) == 0
    assert [next_event(queue) for _ in range(2)] == [(first, c.FD_CONNECT, 0), (second, c.FD_CONNECT, 0)]
    assert nothing(queue)


@pytest.mark.requirement("EV-14", "CL-26")
@isolated
def test_event_object_outlives_the_socket_and_its_registration() -> None:
    start()
    root, name = a_listening(ROOT)
    event, leaf = ws.WSACreateEvent(), a_socket(LEAF)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    leg = accepting.result()
    assert ws.WSAEventSelect(leaf, event, c.FD_READ | c.FD_CLOSE) == 0
    assert ws.closesocket(leaf) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    # The same object serves another socket.
    assert ws.WSAEventSelect(leg, event, c.FD_CLOSE) == 0
    assert events_of(leg, event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    assert ws.WSACloseEvent(event)


@pytest.mark.requirement("EV-21", "EV-50", "EV-20", "EV-13")
@isolated
def test_sockets_that_share_an_object_lose_nothing() -> None:
    start()
    root, name = a_listening(ROOT)
    event, leaves = ws.WSACreateEvent(), [a_socket(LEAF) for _ in range(2)]
    legs = []
    for leaf in leaves:
        accepting = Meanwhile(lambda: ws.accept(root, None, None))
        assert join(leaf, name) == leaf
        legs.append(accepting.result())
    for leg in legs:
        assert ws.WSAEventSelect(leg, event, c.FD_CLOSE | c.FD_READ) == 0
    second = ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, second, c.FD_READ) == 0
    for leaf in leaves:
        assert ws.send(leaf, b"last", 4, 0) == 4
        assert ws.closesocket(leaf) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
    waiting = dict.fromkeys(legs, False)
    while not all(waiting.values()):
        for leg in legs:
            found = WSANETWORKEVENTS()
            found.iErrorCode[:] = [99] * len(found.iErrorCode)
            assert ws.WSAEnumNetworkEvents(leg, None, found) == 0
            if found.lNetworkEvents:
                assert found.lNetworkEvents == c.FD_CLOSE
                # Only the element of an event that is set is written to.
                assert (found.iErrorCode[5], found.iErrorCode.count(99)) == (0, len(found.iErrorCode) - 1)
                waiting[leg] = True
    assert ws.WSAEventSelect(5, event, c.FD_READ) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTSOCK
    ws.WSACleanup()
    assert ws.WSAEventSelect(root, event, c.FD_READ) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSANOTINITIALISED
