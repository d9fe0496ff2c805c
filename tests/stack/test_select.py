"""select: ordinary readiness, no joins, no event memory."""

import os
from functools import partial

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, wait_till_blocked
from tests.stack.test_winsock import NOBODY, a_listening, a_socket, events_of, join, start

from multipoint import constants as c
from multipoint import threads
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.values import Ref
from multipoint.winsock import TIMEVAL, fd_set


def ready(*sockets: int, wait: bool = False) -> tuple[list[int], list[int], list[int]]:
    """Return who of these is readable, writable, exceptional."""
    sets = [fd_set(list(sockets)) for _ in range(3)]
    count = ws.select(0, sets[0], sets[1], sets[2], None if wait else TIMEVAL())
    assert count == sum(len(found.fd_array) for found in sets)
    return sets[0].fd_array, sets[1].fd_array, sets[2].fd_array


def error_of(result: int) -> int:
    assert result == c.SOCKET_ERROR
    return ws.WSAGetLastError()


def a_session() -> tuple[int, int, int]:
    root, name = a_listening(ROOT)
    leaf = a_socket(LEAF)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    return root, accepting.result(), leaf


@pytest.mark.requirement("EV-46")
@isolated
def test_arguments() -> None:
    start()
    leaf = a_socket(LEAF)
    assert error_of(ws.select(0, None, None, None, TIMEVAL())) == c.WSAEINVAL
    assert error_of(ws.select(0, fd_set(), fd_set(), None, TIMEVAL())) == c.WSAEINVAL
    assert error_of(ws.select(0, fd_set([leaf, 5]), None, None, TIMEVAL())) == c.WSAENOTSOCK
    assert error_of(ws.select(0, fd_set([leaf]), None, None, TIMEVAL(-1))) == c.WSAEINVAL
    assert error_of(ws.select(0, [leaf], None, None, None)) == c.WSAEFAULT  # type: ignore[arg-type]
    assert error_of(ws.select(0, fd_set([leaf]), None, None, 1)) == c.WSAEFAULT  # type: ignore[arg-type]
    waiting = fd_set([leaf])
    assert ws.select(0, waiting, None, None, TIMEVAL(0, 1000)) == 0
    assert waiting.fd_array == []
    for fd in range(100):
        ws.FD_SET(fd, waiting)
    assert len(waiting.fd_array) == c.FD_SETSIZE
    ws.FD_CLR(3, waiting)
    assert (ws.FD_ISSET(2, waiting), ws.FD_ISSET(3, waiting)) == (True, False)
    ws.FD_ZERO(waiting)
    assert waiting.fd_array == []


@pytest.mark.requirement("EV-46", "EV-49")
@isolated
def test_data_chats_requests_and_ends_are_readable() -> None:
    start()
    root, leg, leaf = a_session()
    everybody = root, leg, leaf
    assert ready(*everybody) == ([], [root, leg, leaf], [])
    assert ws.send(root, b"data", 4, 0) == 4
    assert ready(leaf, wait=True)[0] == [leaf]
    assert ws.recv(leaf, bytearray(9), 9, 0) == 4
    for speaker, hearer in ((leaf, root), (leg, leaf)):
        waiting = Meanwhile(partial(wait_for_data, hearer))
        assert ws.send(speaker, b"x", 1, 0) == 1
        assert waiting.result() == [hearer]
        assert ws.recv(hearer, bytearray(9), 9, 0) == 1
    name = bytearray(16)
    assert ws.getsockname(root, name, Ref(16)) == 0
    asking = Meanwhile(lambda: join(a_socket(LEAF), bytes(name)))
    assert wait_for_data(root) == [root]
    ws.accept(root, None, None)
    asking.result()
    assert ws.closesocket(root) == 0
    assert sorted([*wait_for_data(leg), *wait_for_data(leaf)]) == sorted([leg, leaf])
    assert ready(leg, leaf) == ([leg, leaf], [], [])


def wait_for_data(s: int) -> list[int]:
    found = fd_set([s])
    ws.select(0, found, None, None, TIMEVAL(5))
    return found.fd_array


@pytest.mark.requirement("EV-48", "D-63", "JL-26")
@isolated
def test_joins_are_in_no_set() -> None:
    start()
    _, name = a_listening(ROOT)
    _, door = a_listening(LEAF)
    leaf, root, event = a_socket(LEAF), a_socket(ROOT), ws.WSACreateEvent()
    assert ready(leaf, root) == ([], [], [])
    for s in (leaf, root):
        assert ws.WSAEventSelect(s, event, c.FD_CONNECT) == 0
    assert join(leaf, name) == leaf
    leg = join(root, door)
    assert ready(leaf, root, leg) == ([], [], [])
    failing = a_socket(LEAF)
    assert ws.WSAEventSelect(failing, event, c.FD_CONNECT) == 0
    assert join(failing, NOBODY) == failing
    assert events_of(failing, event, c.FD_CONNECT) == {c.FD_CONNECT: c.WSAECONNREFUSED}
    assert ready(failing) == ([], [], [])


@pytest.mark.requirement("EV-48", "EV-49")
@isolated
def test_root_that_invites_is_ready_for_the_rest_of_what_it_does() -> None:
    start()
    root, _, leaf = a_session()
    _, door = a_listening(LEAF)
    assert ws.WSAEventSelect(root, ws.WSACreateEvent(), c.FD_CONNECT) == 0
    invited = join(root, door)
    # Room to send to the member it has; the leg of the invitation can do nothing yet.
    assert ready(root, invited) == ([], [root], [])
    assert ws.send(leaf, b"up", 2, 0) == 2
    assert ready(root, wait=True)[0] == [root]
    assert ready(invited) == ([], [], [])
    assert ws.recv(root, bytearray(2), 2, 0) == 2
    assert ready(root) == ([], [root], [])


@pytest.mark.requirement("EV-47")
@isolated
def test_select_leaves_the_event_memory_alone() -> None:
    start()
    root, _, leaf = a_session()
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(leaf, event, c.FD_READ) == 0
    for words in (b"one", b"two"):
        assert ws.send(root, words, 3, 0) == 3
    assert ready(leaf, wait=True)[0] == [leaf]
    # Recorded once, retrieved once; select in between neither repeats nor re-enables it.
    assert events_of(leaf, event, c.FD_READ) == {c.FD_READ: 0}
    assert ready(leaf, wait=True)[0] == [leaf]
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    assert ws.recv(leaf, bytearray(9), 9, 0) == 3
    assert events_of(leaf, event, c.FD_READ) == {c.FD_READ: 0}


@pytest.mark.requirement("EV-46", "SU-09")
@pytest.mark.parametrize("end", ["closesocket", "WSACleanup"])
@isolated
def test_select_ends_with_a_socket_of_any_set(end: str) -> None:
    start()
    for place in range(3):
        s = a_socket(LEAF)
        sets = [fd_set([s]) if at == place else None for at in range(3)]
        # As long as a TIMEVAL can say.
        waiting = Meanwhile(lambda sets=sets: error_of(ws.select(0, *sets, TIMEVAL(0x7FFFFFFF))))  # type: ignore[misc,call-arg]
        wait_till_blocked(process.sockets.get(s))
        if end == "closesocket":
            assert ws.closesocket(s) == 0
        else:
            assert ws.WSACleanup() == 0
        assert waiting.result() == c.WSAEINTR
        if end == "WSACleanup":
            start()


@pytest.mark.requirement("DI-07", "SU-23")
@isolated
def test_who_cancels_too_late_writes_to_nobodys_descriptor() -> None:
    start()
    s, name = a_socket(LEAF | c.WSA_FLAG_OVERLAPPED), bytearray(16)
    root, _ = a_listening(ROOT)
    selecting = Meanwhile(lambda: ws.select(0, fd_set([root]), None, None, TIMEVAL(5)))
    wait_till_blocked(process.sockets.get(root))
    while not threads._blocked:
        os.sched_yield()
    (wait,) = threads._blocked
    assert ws.getsockname(root, name, Ref(16)) == 0
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    join(s, bytes(name))
    assert selecting.result() == 1
    # The next one gets the number of the one that was given up.
    counters = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(5)]
    wait.wake()
    for counter in counters:
        with pytest.raises(BlockingIOError):
            os.eventfd_read(counter)
