"""When events are recorded on real sockets: at the registration, after each re-enabling call, of a join, by heirs."""

import select
import time
from collections.abc import Callable

import pytest
from tests.stack.calls import a_socket as a_socket_of
from tests.stack.calls import failure
from tests.stack.flows import sending, set_qos, start
from tests.stack.network import isolated
from tests.stack.people import LEAF, PATIENCE_S, ROOT, Meanwhile
from tests.stack.test_registrations import recorded
from tests.stack.test_select import ready, wait_for_data
from tests.stack.test_winsock import ANYWHERE, NOBODY, a_listening, a_socket, events_of, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.layouts import WSABUF, WSADATA, WSANETWORKEVENTS
from multipoint.values import Ref, Settings, sockaddr

GROUP = sockaddr("239.1.2.3", 5000)
ALL = c.FD_ALL_EVENTS


def a_session() -> tuple[int, bytes, int, int]:
    """Return a c_root with its name, a leg and a member."""
    root, name = a_listening(ROOT)
    leaf = a_socket(LEAF)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    return root, name, accepting.result(), leaf


def say(s: int, words: bytes) -> None:
    assert ws.send(s, words, len(words), 0) == len(words)


def is_set(event: int) -> bool:
    return ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_EVENT_0


@pytest.mark.requirement("EV-18", "EV-36", "EV-37", "EV-38")
@isolated
def test_what_holds_already_is_recorded_at_the_registration() -> None:
    start()
    root, name, leg, leaf = a_session()
    say(root, b"down")
    say(leaf, b"up")
    fds = ws.fd_set([root])
    assert ws.select(0, fds, None, None, None) == 1
    while ready(leaf)[0] != [leaf]:
        pass
    for s, expected in (
        (root, {c.FD_READ: 0, c.FD_WRITE: 0}),
        (leaf, {c.FD_READ: 0, c.FD_WRITE: 0, c.FD_CONNECT: 0}),
        (leg, {c.FD_WRITE: 0}),
        (a_socket(LEAF), {}),
    ):
        event = ws.WSACreateEvent()
        assert ws.WSAEventSelect(s, event, ALL) == 0
        assert is_set(event) is bool(expected)
        assert recorded(s) == expected
        # Again with another mask: what still holds, and of that what is asked for.
        assert ws.WSAEventSelect(s, event, c.FD_READ) == 0
        assert recorded(s) == {code: 0 for code in expected if code == c.FD_READ}
    asking = a_socket(LEAF)
    assert ws.ioctlsocket(asking, c.FIONBIO, Ref(1)) == 0
    assert join(asking, name) == asking
    while not process.sockets.get(root).door.is_calling:  # type: ignore[attr-defined]
        pass
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, event, c.FD_ACCEPT) == 0
    assert is_set(event)
    assert recorded(root) == {c.FD_ACCEPT: 0}
    assert ws.recv(leaf, bytearray(9), 9, 0) == 4
    assert ws.closesocket(root) == 0
    for s in (leaf, leg):
        while process.sockets.get(s).ended is None:  # type: ignore[attr-defined]
            pass
        event = ws.WSACreateEvent()
        assert ws.WSAEventSelect(s, event, ALL & ~c.FD_CONNECT) == 0
        assert is_set(event)
        assert recorded(s) == {c.FD_CLOSE: 0}


@pytest.mark.requirement("EV-36", "EV-37", "EV-18", "SK-15")
@isolated
def test_ordinary_socket_records_data_and_room() -> None:
    start()
    s, event, name = ws.socket(c.AF_INET, c.SOCK_DGRAM, 17), ws.WSACreateEvent(), bytearray(16)
    assert ws.WSAEventSelect(s, event, ALL) == 0
    assert recorded(s) == {c.FD_WRITE: 0}
    assert ws.bind(s, ANYWHERE, 16) == ws.getsockname(s, name, Ref(16)) == 0
    for words in (b"one", b"two"):
        assert ws.sendto(s, words, 3, 0, bytes(name), 16) == 3
        assert events_of(s, event, c.FD_READ)[c.FD_READ] == 0
        assert ws.recv(s, bytearray(9), 9, 0) == 3
        assert recorded(s) == {}


@pytest.mark.requirement("EV-41", "EV-39", "EV-18")
@isolated
def test_plain_leaf_records_what_it_has_when_it_has_joined() -> None:
    start()
    s, event, name = a_socket_of(LEAF, 17), ws.WSACreateEvent(), bytearray(16)
    assert ws.bind(s, ANYWHERE, 16) == ws.getsockname(s, name, Ref(16)) == 0
    assert ws.WSAEventSelect(s, event, ALL) == 0
    assert ws.sendto(s, b"unicast", 7, 0, bytes(name), 16) == 7
    while not ready(s)[0]:
        pass
    assert recorded(s) == {}
    assert join(s, GROUP) == s
    assert list(process.sockets.get(s).memory.recorded)[:2] == [c.FD_CONNECT, c.FD_WRITE]
    assert events_of(s, event, c.FD_READ) == {c.FD_CONNECT: 0, c.FD_WRITE: 0, c.FD_READ: 0}


@pytest.mark.requirement("EV-17", "EV-36", "EV-47")
@pytest.mark.parametrize("look", ["select", "FIONREAD"])
@isolated
def test_data_that_was_looked_at_first_is_recorded_all_the_same(look: str) -> None:
    start()
    root, _, _, leaf = a_session()
    event, sock = ws.WSACreateEvent(), process.sockets.get(leaf)
    assert ws.WSAEventSelect(leaf, event, c.FD_READ) == 0
    # The stack's thread can't see it before.
    with sock.stack.lock:
        say(root, b"hello")
        assert sock.kernel_descriptor is not None
        assert select.select([sock.kernel_descriptor], [], [], PATIENCE_S)[0]
        if look == "select":
            assert ready(leaf)[0] == [leaf]
        else:
            assert ws.ioctlsocket(leaf, c.FIONREAD, Ref(0)) == 0
    assert events_of(leaf, event, c.FD_READ) == {c.FD_READ: 0}
    # Once
    assert ready(leaf)[0] == [leaf]
    assert recorded(leaf) == {}
    assert ws.recv(leaf, bytearray(9), 9, 0) == 5


@pytest.mark.requirement("EV-26", "EV-25", "EV-17")
@pytest.mark.parametrize("which", ["root", "member", "leg", "group"])
@isolated
def test_every_receive_makes_room_for_the_next_record(which: str) -> None:
    start()
    root, _, leg, leaf = a_session()
    group = a_socket_of(LEAF, 17)
    assert ws.setsockopt(group, c.IPPROTO_IP, c.IP_MULTICAST_IF, bytes([127, 0, 0, 1]), 4) == 0
    assert join(group, GROUP) == group
    s = {"root": root, "member": leaf, "leg": leg, "group": group}[which]
    names = {"root": None, "member": None, "leg": bytearray(16), "group": None}
    if which == "leg":
        assert ws.getpeername(leaf, names["leg"], Ref(16)) == 0  # type: ignore[arg-type]

    def speak() -> None:
        if which == "leg":
            assert ws.sendto(leaf, b"x", 1, 0, bytes(names["leg"] or b""), 16) == 1
        else:
            say({"root": leaf, "member": root, "group": group}[which], b"x")

    event, where = ws.WSACreateEvent(), (bytearray(16), Ref(16))
    assert ws.WSAEventSelect(s, event, c.FD_READ) == 0
    receives: list[Callable[[], int]] = [
        lambda: ws.recv(s, bytearray(9), 9, c.MSG_PEEK),
        lambda: ws.recv(s, bytearray(9), 9, 0),
        lambda: ws.recvfrom(s, bytearray(9), 9, 0, *where),
        lambda: ws.WSARecv(s, [WSABUF(9, bytearray(9))], 1, Ref(0), Ref(0), None, None),
        lambda: ws.WSARecvFrom(s, [WSABUF(9, bytearray(9))], 1, Ref(0), Ref(0), *where, None, None),
    ]
    for _ in receives:
        speak()
    assert events_of(s, event, c.FD_READ) == {c.FD_READ: 0}
    while process.sockets.get(s).bytes_queued() < len(receives):
        pass
    assert recorded(s) == {}
    for receive in receives:
        assert receive() in (0, 1)
        assert is_set(event)
        assert recorded(s) == {c.FD_READ: 0}
        ws.WSAResetEvent(event)
    # The last one: nothing is left to record.
    assert ws.recv(s, bytearray(9), 9, 0) == 1
    assert recorded(s) == {}


@pytest.mark.requirement("EV-27", "EV-37", "QS-30")
@isolated
def test_every_send_that_finds_no_room_is_told_of_it_once() -> None:
    start()
    s = a_socket_of(LEAF, 17)
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, bytes([127, 0, 0, 1]), 4) == 0
    assert join(s, GROUP, flags=c.JL_SENDER_ONLY) == s
    assert set_qos(s, sending(20_000, TokenBucketSize=1000)) == 0
    event, message, buffers = ws.WSACreateEvent(), bytes(1000), [WSABUF(1000, bytes(1000))]
    assert ws.WSAEventSelect(s, event, c.FD_WRITE) == 0
    assert events_of(s, event, c.FD_WRITE) == {c.FD_WRITE: 0}
    sends: list[Callable[[], int]] = [
        lambda: ws.send(s, message, 1000, 0),
        lambda: ws.sendto(s, message, 1000, 0, GROUP, 16),
        lambda: ws.WSASend(s, buffers, 1, None, 0, None, None),
        lambda: ws.WSASendTo(s, buffers, 1, None, 0, GROUP, 16, None, None),
    ]
    for send in sends:
        assert send() in (0, 1000)
        # That there is room is no news before there was none.
        assert recorded(s) == {}
        assert failure(send()) == c.WSAEWOULDBLOCK
        assert events_of(s, event, c.FD_WRITE) == {c.FD_WRITE: 0}


@pytest.mark.requirement("EV-30", "EV-39", "JL-43", "AC-18")
@pytest.mark.parametrize("flags", [LEAF, ROOT], ids=["leaf", "root"])
@isolated
def test_join_that_nobody_answers_is_told_as_timed_out(flags: int) -> None:
    assert ws.WSAStartup(0x0202, WSADATA(), settings=Settings(join_timeout_s=0.1)) == 0
    listener, name = a_listening(ROOT if flags == LEAF else LEAF)
    assert ws.ioctlsocket(listener, c.FIONBIO, Ref(1)) == 0
    s, event = a_socket(flags), ws.WSACreateEvent()
    assert ws.WSAEventSelect(s, event, c.FD_CONNECT) == 0
    assert join(s, name) != c.INVALID_SOCKET
    assert wait_for_data(listener) == [listener]
    assert events_of(s, event, c.FD_CONNECT) == {c.FD_CONNECT: c.WSAETIMEDOUT}
    # The request goes from the queue when the word has come that nobody waits for it any more.
    deadline = time.monotonic() + PATIENCE_S
    while ready(listener)[0]:
        assert time.monotonic() < deadline, "the request still waits"
    assert failure(ws.accept(listener, None, None)) == c.WSAEWOULDBLOCK
    # An outcome that was not fetched makes way for the next.
    assert join(s, NOBODY) != c.INVALID_SOCKET
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
    assert join(s, name) != c.INVALID_SOCKET
    assert recorded(s) == {}
    assert events_of(s, event, c.FD_CONNECT) == {c.FD_CONNECT: c.WSAETIMEDOUT}


@pytest.mark.requirement("EV-16", "EV-15", "EV-10")
@isolated
def test_masks_of_a_listener_and_of_what_it_accepted_are_apart() -> None:
    start()
    root, name = a_listening(ROOT)
    first, second = ws.WSACreateEvent(), ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, first, c.FD_ACCEPT | c.FD_CLOSE) == 0
    leaf, other = a_socket(LEAF), a_socket(LEAF)
    legs = []
    for asking in (leaf, other):
        joining = Meanwhile(lambda: join(asking, name))  # noqa: B023 - waited for at once
        assert events_of(root, first, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
        legs.append(ws.accept(root, None, None))
        joining.result()
    # The one leg's own registration, and then none of the root's.
    assert ws.WSAEventSelect(legs[0], second, c.FD_CLOSE) == 0
    assert ws.WSAEventSelect(root, first, 0) == 0
    for asking, leg, event in ((leaf, legs[0], second), (other, legs[1], first)):
        assert not is_set(event)
        assert ws.closesocket(asking) == 0
        assert events_of(leg, event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    # The leg's mask is not the root's: no FD_ACCEPT, and the root is blocking again.
    assert ws.ioctlsocket(root, c.FIONBIO, Ref(0)) == 0
    assert failure(ws.ioctlsocket(legs[0], c.FIONBIO, Ref(0))) == c.WSAEINVAL


@pytest.mark.requirement("EV-09", "EV-10", "EV-11")
@isolated
def test_registration_makes_a_socket_nonblocking_and_is_the_only_one() -> None:
    start()
    s = ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    assert ws.bind(s, ANYWHERE, 16) == 0
    name = bytearray(16)
    assert ws.getsockname(s, name, Ref(16)) == 0
    events = [ws.WSACreateEvent() for _ in range(2)]
    for mask in (0, c.FD_QOS):
        assert ws.WSAEventSelect(s, events[0], mask) == 0
        assert failure(ws.recv(s, bytearray(9), 9, 0)) == c.WSAEWOULDBLOCK
    # Two objects for two events are not to be had: the second registration ends the first.
    assert ws.WSAEventSelect(s, events[0], c.FD_READ) == ws.WSAEventSelect(s, events[1], c.FD_QOS) == 0
    assert ws.sendto(s, b"x", 1, 0, bytes(name), 16) == 1
    while ready(s)[0] != [s]:
        pass
    assert [is_set(event) for event in events] == [False, False]
    assert ws.WSAEventSelect(s, events[1], c.FD_READ) == 0
    assert [is_set(event) for event in events] == [False, True]


@pytest.mark.requirement("EV-19", "EV-22")
@isolated
def test_enumeration_resets_the_object_it_is_given() -> None:
    start()
    s, event = a_socket_of(LEAF, 17), ws.WSACreateEvent()
    assert ws.bind(s, ANYWHERE, 16) == 0
    for given, stays in ((None, True), (event, False)):
        assert ws.WSAEventSelect(s, event, c.FD_WRITE) == 0
        assert join(s, GROUP) == s or failure(c.SOCKET_ERROR) == c.WSAEISCONN
        found = WSANETWORKEVENTS()
        assert ws.WSAEnumNetworkEvents(s, given, found) == 0
        assert (found.lNetworkEvents, is_set(event)) == (c.FD_WRITE, stays)
        assert recorded(s) == {}


@pytest.mark.requirement("EV-01", "EV-02", "EV-03", "EV-04", "EV-05", "EV-07")
@isolated
def test_handles_of_event_objects() -> None:
    assert ws.WSACreateEvent() == c.WSA_INVALID_EVENT
    assert ws.WSAGetLastError() == c.WSANOTINITIALISED
    start()
    events = [ws.WSACreateEvent() for _ in range(64)]
    assert ws.WSAWaitForMultipleEvents(64, events, True, 20, False) == c.WSA_WAIT_TIMEOUT
    for event in reversed(events):
        assert ws.WSASetEvent(event)
        assert ws.WSAWaitForMultipleEvents(64, events, False, 0, False) == events.index(event)
    assert ws.WSAWaitForMultipleEvents(64, events, True, 0, False) == c.WSA_WAIT_EVENT_0
    closed = events.pop()
    assert ws.WSACloseEvent(closed)
    for handle in (closed, 0, -1):
        for call in (ws.WSASetEvent, ws.WSAResetEvent, ws.WSACloseEvent):
            assert call(handle) is False
            assert ws.WSAGetLastError() == c.WSA_INVALID_HANDLE
        assert ws.WSAWaitForMultipleEvents(2, [events[0], handle], False, 0, False) == c.WSA_WAIT_FAILED
        assert ws.WSAGetLastError() == c.WSA_INVALID_HANDLE


@pytest.mark.requirement("EV-48", "EV-32")
@isolated
def test_change_of_flows_is_nothing_for_select() -> None:
    start(capacities={"lo": 1000})
    s, event = a_socket_of(LEAF, 17), ws.WSACreateEvent()
    assert ws.bind(s, ANYWHERE, 16) == 0
    assert set_qos(s, sending(1000)) == 0
    before = ready(s)
    assert ws.WSAEventSelect(s, event, c.FD_QOS) == 0
    process.stack.set_capacity("lo", 500)
    assert ready(s) == before
    assert events_of(s, event, c.FD_QOS) == {c.FD_QOS: 0}
