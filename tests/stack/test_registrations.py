"""Event objects, and registrations for network events on real sockets: how they end, what re-enables, what is told."""

import threading
from collections.abc import Callable

import pytest
from tests.stack.calls import failure, start
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile
from tests.stack.test_winsock import NOBODY, a_listening, a_socket, events_of, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.layouts import WSABUF, WSANETWORKEVENTS
from multipoint.values import Ref


def recorded(s: int) -> dict[int, int]:
    """Return what is recorded now, and clear it."""
    found = WSANETWORKEVENTS()
    assert ws.WSAEnumNetworkEvents(s, None, found) == 0
    return {1 << bit: found.iErrorCode[bit] for bit in range(c.FD_MAX_EVENTS) if found.lNetworkEvents & 1 << bit}


@pytest.mark.requirement("EV-01", "EV-02", "EV-03", "EV-04", "EV-05", "EV-07", "EV-08")
@isolated
def test_event_objects() -> None:
    start()
    first, second = ws.WSACreateEvent(), ws.WSACreateEvent()
    both = [first, second]
    assert ws.WSAWaitForMultipleEvents(2, both, False, 0, False) == c.WSA_WAIT_TIMEOUT
    assert ws.WSASetEvent(second)
    assert ws.WSAWaitForMultipleEvents(2, both, False, c.WSA_INFINITE, False) == 1
    assert ws.WSAWaitForMultipleEvents(2, both, True, 0, False) == c.WSA_WAIT_TIMEOUT
    setting = threading.Timer(0.01, lambda: ws.WSASetEvent(first))
    setting.start()
    assert ws.WSAWaitForMultipleEvents(2, both, True, 5000, False) == 0
    assert ws.WSAResetEvent(first)
    assert ws.WSAWaitForMultipleEvents(1, [first], False, 0, False) == c.WSA_WAIT_TIMEOUT
    for handles, all_, code in (
        ([], False, c.WSA_INVALID_PARAMETER),
        ([first] * 65, False, c.WSA_INVALID_PARAMETER),
        ([first, first], True, c.WSA_INVALID_PARAMETER),
        ([first, 99], False, c.WSA_INVALID_HANDLE),
    ):
        assert ws.WSAWaitForMultipleEvents(len(handles), handles, all_, 0, False) == c.WSA_WAIT_FAILED
        assert ws.WSAGetLastError() == code
    assert ws.WSACloseEvent(first)
    assert not ws.WSACloseEvent(first)
    assert ws.WSAGetLastError() == c.WSA_INVALID_HANDLE


@pytest.mark.requirement("EV-09", "EV-10", "EV-11", "EV-12", "SK-41", "EV-20")
@isolated
def test_registration() -> None:
    start()
    s, event, mode = a_socket(LEAF), ws.WSACreateEvent(), Ref(0)
    for handle, mask in ((event, 0x400), (999, c.FD_READ)):
        assert ws.WSAEventSelect(s, handle, mask) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEINVAL
    assert ws.WSAEventSelect(s, event, c.FD_READ) == 0
    assert ws.ioctlsocket(s, c.FIONBIO, mode) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEINVAL
    assert ws.WSAEventSelect(s, 0, 0) == 0
    assert ws.ioctlsocket(s, c.FIONBIO, mode) == 0
    assert ws.WSAEnumNetworkEvents(s, event, None) == c.SOCKET_ERROR  # type: ignore[arg-type]
    assert ws.WSAGetLastError() == c.WSAEFAULT


@pytest.mark.requirement("EV-11", "EV-12", "EV-10")
@isolated
def test_registration_is_ended_with_null_for_the_event_object() -> None:
    start()
    s, event, queue = a_socket(LEAF), ws.WSACreateEvent(), ws.create_queue()
    registrations: list[Callable[[], int]] = [
        lambda: ws.WSAEventSelect(s, event, c.FD_ALL_EVENTS),
        lambda: ws.WSAAsyncSelect(s, queue, 7, c.FD_ALL_EVENTS),
    ]
    ends: list[Callable[[], int]] = [
        lambda: ws.WSAEventSelect(s, None, 0),
        lambda: ws.WSAEventSelect(s, 0, 0),
        lambda: ws.WSAEventSelect(s, 4711, 0),
        lambda: ws.WSAAsyncSelect(s, None, 0, 0),
    ]
    for register in registrations:
        for end in ends:
            assert register() == 0
            assert failure(ws.ioctlsocket(s, c.FIONBIO, Ref(0))) == c.WSAEINVAL
            assert end() == 0
            assert ws.ioctlsocket(s, c.FIONBIO, Ref(0)) == 0
    for wrong in (None, 0, 4711):
        assert failure(ws.WSAEventSelect(s, wrong, c.FD_READ)) == c.WSAEINVAL
        assert failure(ws.WSAAsyncSelect(s, wrong, 7, c.FD_READ)) == c.WSAEINVAL
    # A registration that failed is none.
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(0)) == 0


@pytest.mark.requirement("EV-25", "EV-26")
@isolated
def test_receive_that_fails_announces_the_data_again() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf, event = a_socket(LEAF), ws.WSACreateEvent()
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    accepting.result()
    assert ws.WSAEventSelect(leaf, event, c.FD_READ) == 0
    assert ws.send(root, b"one", 3, 0) == 3
    assert events_of(leaf, event, c.FD_READ) == {c.FD_READ: 0}
    room, buffers = bytearray(9), [WSABUF(9, bytearray(9))]
    receive: Callable[..., int] = ws.recv
    receive_from: Callable[..., int] = ws.recvfrom
    scatter: Callable[..., int] = ws.WSARecv
    scatter_from: Callable[..., int] = ws.WSARecvFrom
    cases: list[tuple[Callable[[], int], int]] = [
        (lambda: receive(leaf, None, 9, 0), c.WSAEFAULT),
        (lambda: receive(leaf, room, 9, 0x4000), c.WSAEINVAL),
        (lambda: receive(leaf, room, 9, c.MSG_OOB), c.WSAEOPNOTSUPP),
        (lambda: receive_from(leaf, room, 9, 0, bytearray(3), Ref(3)), c.WSAEFAULT),
        (lambda: scatter(leaf, None, 1, Ref(0), Ref(0), None, None), c.WSAEFAULT),
        (lambda: scatter(leaf, buffers, 1, Ref(0), None, None, None), c.WSAEFAULT),
        (lambda: scatter_from(leaf, buffers, 1, Ref(0), Ref(0), bytearray(3), Ref(3), None, None), c.WSAEFAULT),
    ]
    for call, code in cases:
        assert recorded(leaf) == {}
        assert failure(call()) == code
        assert recorded(leaf) == {c.FD_READ: 0}, code
    # A peek looks, and what is there is announced again; taking it is the end of it.
    assert ws.recv(leaf, room, 9, c.MSG_PEEK) == 3
    assert recorded(leaf) == {c.FD_READ: 0}
    assert ws.recv(leaf, room, 9, 0) == 3
    assert recorded(leaf) == {}


@pytest.mark.requirement("EV-25")
@isolated
def test_receive_that_fails_is_announced_by_one_message() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf, queue = a_socket(LEAF), ws.create_queue()
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    accepting.result()
    assert ws.WSAAsyncSelect(leaf, queue, 7, c.FD_READ) == 0
    assert ws.send(root, b"long", 4, 0) == ws.send(root, b"last", 4, 0) == 4
    assert ws.get_message(queue, 5000)
    for size, code in ((3, c.WSAEMSGSIZE), (-1, c.WSAEFAULT)):
        assert failure(ws.recv(leaf, bytearray(3), size, 0)) == code
        assert ws.get_message(queue, 5000)
        assert ws.get_message(queue, 0) is None


@pytest.mark.requirement("EV-18", "EV-39")
@pytest.mark.parametrize("flags", [LEAF, ROOT], ids=["leaf", "root"])
@isolated
def test_outcome_that_a_call_has_told_is_not_told_again(flags: int) -> None:
    start()
    s, event = a_socket(flags), ws.WSACreateEvent()
    listener, name = a_listening(ROOT if flags == LEAF else LEAF)
    assert failure(join(s, NOBODY)) == c.WSAECONNREFUSED
    assert ws.WSAEventSelect(s, event, c.FD_CONNECT) == 0
    assert recorded(s) == {}
    # The positive control: what no call has told is recorded, also when the registration comes later.
    assert join(s, NOBODY) != c.INVALID_SOCKET
    assert events_of(s, event, c.FD_CONNECT) == {c.FD_CONNECT: c.WSAECONNREFUSED}
    assert ws.WSAEventSelect(s, None, 0) == ws.ioctlsocket(s, c.FIONBIO, Ref(0)) == 0
    accepting = Meanwhile(lambda: ws.accept(listener, None, None))
    assert join(s, name) != c.INVALID_SOCKET
    accepting.result()
    assert ws.WSAEventSelect(s, event, c.FD_CONNECT) == 0
    # A c_leaf is joined, and says so to each new registration; a c_root is nobody's leaf.
    assert recorded(s) == ({c.FD_CONNECT: 0} if flags == LEAF else {})


@pytest.mark.requirement("EV-05")
@isolated
def test_time_limit_is_a_dword() -> None:
    start()
    event = ws.WSACreateEvent()
    waiting = Meanwhile(lambda: ws.WSAWaitForMultipleEvents(1, [event], False, -1, False))
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 1 << 32, False) == c.WSA_WAIT_TIMEOUT
    assert waiting.is_running
    assert ws.WSASetEvent(event)
    assert waiting.result() == c.WSA_WAIT_EVENT_0
    assert ws.get_message(ws.create_queue(), 1 << 64) is None
