"""Overlapped operations: pending, finished, told by event or by routine; alertable waits."""

import os
import select

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, PATIENCE_S, ROOT, Meanwhile, wait_till_blocked
from tests.stack.test_winsock import ANYWHERE, NOBODY, a_listening, a_socket, join, start

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.flow import FLOWSPEC, QOS
from multipoint.layouts import WSABUF
from multipoint.values import Ref
from multipoint.winsock import TIMEVAL, WSAOVERLAPPED, fd_set

OVERLAPPED = c.WSA_FLAG_OVERLAPPED
NOT_A_SOCKET = 5


def a_session() -> tuple[int, int, int]:
    """Return a c_root, a leg and a member, all overlapped."""
    root, name = a_listening(ROOT | OVERLAPPED)
    leaf = a_socket(LEAF | OVERLAPPED)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    return root, accepting.result(), leaf


def say(s: int, words: bytes) -> None:
    assert ws.send(s, words, len(words), 0) == len(words)


def receive(s: int, room: WSABUF, overlapped: WSAOVERLAPPED, routine: object = None, flags: int = 0) -> int:
    """Begin a receive; return 0 or the error."""
    if ws.WSARecv(s, [room], 1, None, Ref(flags), overlapped, routine) == 0:  # type: ignore[arg-type]
        return 0
    return ws.WSAGetLastError()


def result(s: int, overlapped: WSAOVERLAPPED, *, wait: bool = True) -> tuple[int, int]:
    """Return the code and the count of an operation."""
    count = Ref(-1)
    done = ws.WSAGetOverlappedResult(s, overlapped, count, wait, Ref(0))
    return 0 if done else ws.WSAGetLastError(), count.value


def a_room(size: int = 100) -> WSABUF:
    return WSABUF(size, bytearray(size))


@pytest.mark.requirement("DP-36", "SK-16")
@isolated
def test_receive_is_pending_and_then_told_by_the_event() -> None:
    start()
    root, _, leaf = a_session()
    event, room = ws.WSACreateEvent(), a_room()
    overlapped = WSAOVERLAPPED(hEvent=event)
    assert ws.WSASetEvent(event)
    assert receive(leaf, room, overlapped) == c.WSA_IO_PENDING
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    assert result(leaf, overlapped, wait=False) == (c.WSA_IO_INCOMPLETE, -1)
    say(root, b"at last")
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
    assert result(leaf, overlapped, wait=False) == (0, 7)
    assert bytes(room.buf or b"")[:7] == b"at last"


@pytest.mark.requirement("SK-16")
@isolated
def test_who_was_not_made_overlapped_takes_no_notice_of_the_parameter() -> None:
    start()
    plain, always = a_socket(LEAF), ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    root, name = a_listening(ROOT)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(plain, name) == plain
    accepting.result()
    assert ws.bind(always, ANYWHERE, 16) == 0
    for s, code in ((plain, c.WSAEWOULDBLOCK), (always, c.WSA_IO_PENDING)):
        overlapped = WSAOVERLAPPED(Internal=77)
        assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
        assert receive(s, a_room(), overlapped) == code
        assert (overlapped.Internal == 77) is (s == plain)
    say(root, b"now")
    count, room = Ref(0), a_room()
    assert ws.WSARecv(plain, [room], 1, count, Ref(0), WSAOVERLAPPED(), None) == 0
    assert (count.value, bytes(room.buf or b"")[:3]) == (3, b"now")


@pytest.mark.requirement("DP-36")
@isolated
def test_what_is_there_is_received_at_once_and_told_all_the_same() -> None:
    start()
    root, _, leaf = a_session()
    say(root, b"early")
    event, room, count = ws.WSACreateEvent(), a_room(), Ref(0)
    overlapped = WSAOVERLAPPED(hEvent=event)
    assert ws.WSARecv(leaf, [room], 1, count, Ref(0), overlapped, None) == 0
    assert count.value == 5
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_EVENT_0
    assert result(leaf, overlapped) == (0, 5)


@pytest.mark.requirement("DP-36")
@isolated
def test_receives_are_served_in_their_order_each_with_its_sender() -> None:
    start()
    root, leg, leaf = a_session()
    rooms, operations = [a_room() for _ in range(3)], [WSAOVERLAPPED() for _ in range(3)]
    senders, lengths = [bytearray(16) for _ in range(3)], [Ref(16) for _ in range(3)]
    for room, overlapped, sender, length in zip(rooms, operations, senders, lengths, strict=True):
        assert ws.WSARecvFrom(leaf, [room], 1, None, Ref(0), sender, length, overlapped, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSA_IO_PENDING
    for words, speaker in ((b"one", root), (b"two", leg), (b"three", root)):
        say(speaker, words)
        waiting = operations[(b"one", b"two", b"three").index(words)]
        assert result(leaf, waiting) == (0, len(words))
    assert [bytes(room.buf or b"").rstrip(b"\0") for room in rooms] == [b"one", b"two", b"three"]
    # The side chat comes from the root's control address, the data from its data address.
    assert senders[0] == senders[2] != senders[1]


@pytest.mark.requirement("DP-36")
@isolated
def test_message_goes_to_the_receive_that_waits_whoever_looks_first() -> None:
    start()
    root, _, leaf = a_session()
    overlapped, queued = WSAOVERLAPPED(), Ref(-1)
    assert receive(leaf, a_room(), overlapped) == c.WSA_IO_PENDING
    sock = process.sockets.get(leaf)
    # The stack's thread can't serve the receive meanwhile.
    with sock.stack.lock:
        say(root, b"hello")
        assert sock.kernel_descriptor is not None
        assert select.select([sock.kernel_descriptor], [], [], PATIENCE_S)[0]
        assert ws.ioctlsocket(leaf, c.FIONREAD, queued) == 0
        assert queued.value == 0
        assert not sock.may_receive
    assert result(leaf, overlapped) == (0, 5)


@pytest.mark.requirement("DP-36", "EV-06")
@isolated
def test_routine_runs_in_an_alertable_wait_of_its_thread_only() -> None:
    start()
    root, _, leaf = a_session()
    never, seen = ws.WSACreateEvent(), list[tuple[int, int, bool]]()
    overlapped = WSAOVERLAPPED()

    def routine(code: int, count: int, which: WSAOVERLAPPED, flags: int) -> None:
        seen.append((code, count, which is overlapped))

    assert receive(leaf, a_room(), overlapped, routine) == c.WSA_IO_PENDING
    say(root, b"hello")
    assert result(leaf, overlapped) == (0, 5)
    in_vain = ws.WSAWaitForMultipleEvents(1, [never], False, 0, False)
    other = Meanwhile(lambda: ws.WSAWaitForMultipleEvents(1, [never], False, 0, True)).result()
    assert (in_vain, other, seen) == (c.WSA_WAIT_TIMEOUT, c.WSA_WAIT_TIMEOUT, [])
    assert ws.WSAWaitForMultipleEvents(1, [never], False, c.WSA_INFINITE, True) == c.WSA_WAIT_IO_COMPLETION
    assert seen == [(0, 5, True)]
    assert ws.WSAWaitForMultipleEvents(1, [never], False, 0, True) == c.WSA_WAIT_TIMEOUT


@pytest.mark.requirement("EV-06", "DP-36")
@isolated
def test_alertable_wait_is_ended_by_a_routine_that_comes_later() -> None:
    start()
    root, _, leaf = a_session()
    never, seen = ws.WSACreateEvent(), list[int]()

    def wait() -> int:
        assert receive(leaf, a_room(), WSAOVERLAPPED(), lambda code, *_: seen.append(code)) == c.WSA_IO_PENDING
        return ws.WSAWaitForMultipleEvents(1, [never], False, c.WSA_INFINITE, True)

    waiting = Meanwhile(wait)
    while not process.sockets.get(leaf).pending.wants_data:  # type: ignore[attr-defined]
        os.sched_yield()
    say(root, b"wake up")
    assert waiting.result() == c.WSA_WAIT_IO_COMPLETION
    assert seen == [0]


@pytest.mark.requirement("DP-38", "DP-15")
@isolated
def test_several_buffers_are_one_message() -> None:
    start()
    root, _, leaf = a_session()
    sent = Ref(0)
    assert ws.WSASend(root, [WSABUF(3, b"abc"), WSABUF(0, None), WSABUF(4, b"defg")], 3, sent, 0, None, None) == 0
    assert sent.value == 7
    rooms, overlapped = [a_room(2), a_room(1), a_room(10)], WSAOVERLAPPED()
    ws.WSARecv(leaf, rooms, 3, None, Ref(0), overlapped, None)
    assert result(leaf, overlapped) == (0, 7)
    assert [bytes(room.buf or b"").rstrip(b"\0") for room in rooms] == [b"ab", b"c", b"defg"]
    say(root, b"too long")
    ws.WSARecv(leaf, rooms[:2], 2, None, Ref(0), overlapped, None)
    assert result(leaf, overlapped)[0] == c.WSAEMSGSIZE
    assert [bytes(room.buf or b"") for room in rooms[:2]] == [b"to", b"o"]


@pytest.mark.requirement("CL-24", "SU-10", "SU-09")
@pytest.mark.parametrize("how", ["closesocket", "WSACleanup"])
@isolated
def test_end_of_the_socket_aborts_what_is_pending(how: str) -> None:
    start()
    _, _, leaf = a_session()
    seen, never, event = list[int](), ws.WSACreateEvent(), ws.WSACreateEvent()
    by_event, by_routine = WSAOVERLAPPED(hEvent=event), WSAOVERLAPPED()
    assert receive(leaf, a_room(), by_routine, lambda code, *_: seen.append(code)) == c.WSA_IO_PENDING
    assert receive(leaf, a_room(), by_event) == c.WSA_IO_PENDING
    if how == "closesocket":
        assert ws.closesocket(leaf) == 0
    else:
        assert ws.WSACleanup() == 0
        start()
    assert by_event.Internal == by_routine.Internal == c.WSA_OPERATION_ABORTED
    # The last WSACleanup tells nobody.
    is_told = how == "closesocket"
    told = ws.WSAWaitForMultipleEvents(1, [event], False, 0, False)
    assert told == (c.WSA_WAIT_EVENT_0 if is_told else c.WSA_WAIT_TIMEOUT)
    ran = ws.WSAWaitForMultipleEvents(1, [never], False, 0, True)
    assert ran == (c.WSA_WAIT_IO_COMPLETION if is_told else c.WSA_WAIT_TIMEOUT)
    assert seen == ([c.WSA_OPERATION_ABORTED] if is_told else [])


@pytest.mark.requirement("DP-36", "CL-12", "CL-31")
@isolated
def test_end_of_the_session_and_shutdown_end_receives() -> None:
    start()
    root, leg, leaf = a_session()
    at_root, at_leaf, at_leg = WSAOVERLAPPED(), WSAOVERLAPPED(), WSAOVERLAPPED()
    assert receive(root, a_room(), at_root) == c.WSA_IO_PENDING
    assert ws.shutdown(root, c.SD_RECEIVE) == 0
    assert result(root, at_root)[0] == c.WSAESHUTDOWN
    assert receive(leaf, a_room(), at_leaf) == receive(leg, a_room(), at_leg) == c.WSA_IO_PENDING
    assert ws.closesocket(root) == 0
    assert result(leaf, at_leaf)[0] == result(leg, at_leg)[0] == c.WSAEDISCON
    # What can't be begun is told by the call, and by nothing else.
    event = ws.WSACreateEvent()
    assert receive(leaf, a_room(), WSAOVERLAPPED(hEvent=event)) == c.WSAEDISCON
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT


@pytest.mark.requirement("CL-12", "D-42")
@isolated
def test_each_receive_has_its_own_way_of_telling_an_orderly_end() -> None:
    start()
    root, leg, leaf = a_session()
    assert ws.closesocket(root) == 0
    where, room = (bytearray(16), Ref(16)), bytearray(9)
    for s in (leg, leaf):
        # Until the word has come.
        assert ws.recv(s, room, 9, 0) == ws.recvfrom(s, room, 9, 0, *where) == 0
        assert ws.WSARecv(s, [a_room()], 1, Ref(0), Ref(0), None, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEDISCON
        assert ws.WSARecvFrom(s, [a_room()], 1, Ref(0), Ref(0), *where, None, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEDISCON


@pytest.mark.requirement("CL-24")
@isolated
def test_end_of_the_socket_aborts_sends_that_are_held_back() -> None:
    start()
    root, _, _ = a_session()
    process.sockets.get(root).set_qos(QOS.of(FLOWSPEC(TokenRate=1, TokenBucketSize=9, ServiceType=2), FLOWSPEC()))
    event, seen = ws.WSACreateEvent(), list[int]()
    by_event, by_routine = WSAOVERLAPPED(hEvent=event), WSAOVERLAPPED()
    say(root, bytes(9))
    for overlapped, routine in ((by_event, None), (by_routine, lambda code, *_: seen.append(code))):
        assert ws.WSASend(root, [WSABUF(9, bytes(9))], 1, None, 0, overlapped, routine) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSA_IO_PENDING
    assert ws.closesocket(root) == 0
    assert by_event.Internal == by_routine.Internal == c.WSA_OPERATION_ABORTED
    never = ws.WSACreateEvent()
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_EVENT_0
    assert ws.WSAWaitForMultipleEvents(1, [never], False, 0, True) == c.WSA_WAIT_IO_COMPLETION
    assert seen == [c.WSA_OPERATION_ABORTED]


@pytest.mark.requirement("DP-36", "QS-27")
@isolated
def test_sends_that_are_held_back_go_out_later_in_their_order() -> None:
    start()
    root, _, leaf = a_session()
    flow = FLOWSPEC(TokenRate=2000, TokenBucketSize=1000, ServiceType=c.SERVICETYPE_CONTROLLEDLOAD)
    process.sockets.get(root).set_qos(QOS.of(flow, FLOWSPEC()))
    # Each waits half a second for its tokens: longer than it takes to come here, on any machine.
    operations = [WSAOVERLAPPED() for _ in range(4)]
    codes = []
    for number, overlapped in enumerate(operations):
        words = bytes([number]) * 1000
        codes.append(ws.WSASend(root, [WSABUF(1000, words)], 1, None, 0, overlapped, None))
    assert codes == [0] + [c.SOCKET_ERROR] * 3
    assert ws.WSAGetLastError() == c.WSA_IO_PENDING
    assert [result(root, overlapped) for overlapped in operations] == [(0, 1000)] * 4
    heard = bytearray(1000)
    assert [(ws.recv(leaf, heard, 1000, 0), heard[0]) for _ in operations] == [(1000, n) for n in range(4)]
    ws.WSASend(root, [WSABUF(1000, bytes(1000))], 1, None, 0, operations[0], None)
    ws.WSASend(root, [WSABUF(1000, bytes(1000))], 1, None, 0, operations[1], None)
    # A flush ends what is held back, as if it had been sent (IO-18).
    process.sockets.get(root).flush()
    assert operations[1].Internal == 0


@pytest.mark.requirement("IO-01", "IO-02", "IO-06")
@isolated
def test_ioctl_overlapped_and_not() -> None:
    start()
    _, _, leaf = a_session()
    out, count, event = bytearray(4), Ref(0), ws.WSACreateEvent()
    overlapped = WSAOVERLAPPED(hEvent=event)
    assert ws.WSAIoctl(leaf, c.FIONREAD, None, 0, out, 4, count, overlapped, None) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_EVENT_0
    assert (count.value, result(leaf, overlapped)) == (4, (0, 4))
    # A socket that was not asked for as overlapped takes no notice of the parameters.
    plain = a_socket(LEAF)
    untouched = WSAOVERLAPPED(hEvent=event, Internal=77)
    assert ws.WSAResetEvent(event)
    assert ws.WSAIoctl(plain, c.SIOCATMARK, None, 0, out, 4, count, untouched, None) == 0
    assert (count.value, untouched.Internal) == (4, 77)
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT


@pytest.mark.requirement("SK-23", "DP-36")
@isolated
def test_bad_pointers_of_overlapped_calls() -> None:
    start()
    _, _, leaf = a_session()
    count = Ref(0)
    for overlapped, routine in (("no", None), (WSAOVERLAPPED(), "no")):
        ends = ws.WSARecv(leaf, [a_room()], 1, None, Ref(0), overlapped, routine)  # type: ignore[arg-type]
        assert (ends, ws.WSAGetLastError()) == (c.SOCKET_ERROR, c.WSAEFAULT)
    assert receive(leaf, a_room(), WSAOVERLAPPED(hEvent=3)) == c.WSA_INVALID_HANDLE
    assert not ws.WSAGetOverlappedResult(leaf, None, count, False, Ref(0))  # type: ignore[arg-type]
    assert ws.WSAGetLastError() == c.WSAEFAULT
    assert not ws.WSAGetOverlappedResult(NOT_A_SOCKET, WSAOVERLAPPED(), count, False, Ref(0))
    assert ws.WSAGetLastError() == c.WSAENOTSOCK
    unjoined = a_socket(LEAF | OVERLAPPED)
    assert receive(unjoined, a_room(), WSAOVERLAPPED()) == c.WSAENOTCONN


@pytest.mark.requirement("DP-15", "DP-16")
@pytest.mark.parametrize("call", ["recvfrom", "WSARecvFrom", "overlapped"])
@isolated
def test_sender_of_a_message_that_does_not_fit_is_told(call: str) -> None:
    start()
    root, leg, leaf = a_session()
    say(leaf, b"too long")
    room, name, length = bytearray(3), bytearray(16), Ref(16)
    if call == "recvfrom":
        outcome = ws.recvfrom(root, room, 3, 0, name, length)
    else:
        overlapped = WSAOVERLAPPED() if call == "overlapped" else None
        assert ws.select(0, fd_set([root]), None, None, TIMEVAL(5)) == 1
        outcome = ws.WSARecvFrom(root, [WSABUF(3, room)], 1, Ref(0), Ref(0), name, length, overlapped, None)
    assert (outcome, ws.WSAGetLastError()) == (c.SOCKET_ERROR, c.WSAEMSGSIZE)
    peer = bytearray(16)
    assert ws.getpeername(leg, peer, Ref(16)) == 0
    assert (bytes(room), name, length) == (b"too", peer, Ref(16))


@pytest.mark.requirement("JL-74", "JL-16", "DI-20", "D-66")
@pytest.mark.parametrize("who", ["leaf", "root"])
@isolated
def test_blocking_join_runs_routines_and_goes_on(who: str) -> None:
    start()
    root, _, leaf = a_session()
    asked, name = a_listening(LEAF if who == "root" else ROOT)
    asking = a_socket(ROOT if who == "root" else LEAF)
    seen: list[object] = []

    def routine(code: int, *_: object) -> None:
        # The session's own sockets may be used, but the thread must not block a second time.
        say(leaf, b"from the routine")
        seen.append((code, join(a_socket(LEAF), NOBODY), ws.WSAGetLastError()))
        # JL-16: step 4, before what is wrong with the parameters.
        for flags, name in ((0, NOBODY), (c.JL_BOTH, None), (c.JL_BOTH, ws.sockaddr("0.0.0.0", 0))):
            seen.append((code, join(a_socket(ROOT), name, flags=flags), ws.WSAGetLastError()))
        let_in.append(Meanwhile(lambda: ws.accept(asked, None, None)))

    let_in: list[Meanwhile[int]] = []

    def call() -> int:
        assert receive(leaf, a_room(), WSAOVERLAPPED(), routine) == c.WSA_IO_PENDING
        return join(asking, name)

    joining = Meanwhile(call)
    wait_till_blocked(process.sockets.get(asking))
    say(root, b"now")
    assert joining.result() not in (c.INVALID_SOCKET, None)
    assert seen == [(0, c.INVALID_SOCKET, c.WSAEINPROGRESS)] * 4
    assert let_in[0].result() != c.INVALID_SOCKET
