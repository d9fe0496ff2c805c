"""accept and WSAAccept call by call: their parameters, their condition functions, several threads at one listener."""

import threading
from collections.abc import Callable

import pytest
from tests.stack.calls import failure, start
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, wait_till_blocked
from tests.stack.test_winsock import a_listening, a_socket, events_of, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.values import Ref
from multipoint.winsock import TIMEVAL, fd_set


def asking(name: bytes) -> int:
    """Return a nonblocking leaf that has asked."""
    leaf = a_socket(LEAF)
    assert ws.ioctlsocket(leaf, c.FIONBIO, Ref(1)) == 0
    assert join(leaf, name) == leaf
    return leaf


@pytest.mark.requirement("AC-16")
@pytest.mark.parametrize("call", ["accept", "WSAAccept"])
@isolated
def test_address_is_stored_where_both_pointers_are_given(call: str) -> None:
    start()
    root, name = a_listening(ROOT)

    def accept(*where: object) -> int:
        function: Callable[..., int] = ws.accept if call == "accept" else ws.WSAAccept
        return function(root, *where, *(() if call == "accept" else (None, None)))

    memory, length = bytearray(b"\xff" * 30), Ref(30)
    for where in ((None, None), (None, length), (memory, None)):
        asking(name)
        assert accept(*where) != c.INVALID_SOCKET
    assert (bytes(memory), length) == (b"\xff" * 30, Ref(30))
    leaf = asking(name)
    for short in ((memory, Ref(15)), (bytearray(15), Ref(16)), (b"constant, long enough", Ref(16)), ("", length)):
        assert failure(accept(*short)) == c.WSAEFAULT
    leg = accept(memory, length)
    own = bytearray(16)
    assert ws.getsockname(leaf, own, Ref(16)) == 0
    # Who asks is not told before it has joined at which address.
    assert (ws.address(memory)[1], length) == (ws.address(own)[1], Ref(16))
    assert ws.getpeername(leg, own, Ref(16)) == 0
    assert memory[:16] == own


@pytest.mark.requirement("AC-16", "AC-11")
@isolated
def test_member_that_was_accepted_knows_its_root_at_once() -> None:
    start()
    leaf, name = a_listening(LEAF)
    root = a_socket(ROOT)
    inviting = Meanwhile(lambda: join(root, name))
    memory, found = bytearray(16), bytearray(16)
    member = ws.accept(leaf, memory, Ref(16))
    assert ws.getpeername(member, found, Ref(16)) == 0
    assert found == memory
    assert inviting.result() != c.INVALID_SOCKET


@pytest.mark.requirement("AC-19", "AC-29", "AC-10", "SU-23")
@isolated
def test_two_threads_decide_on_one_request_after_the_other() -> None:
    start()
    root, name = a_listening(ROOT)
    seen: list[bytes] = []
    inside, go = threading.Event(), threading.Event()

    def condition(caller: object, *_: object) -> int:
        seen.append(bytes(getattr(caller, "buf", b"")))
        inside.set()
        assert go.wait(5)
        return c.CF_ACCEPT

    accepting = []
    for _ in range(2):
        accepting.append(Meanwhile(lambda: ws.WSAAccept(root, None, None, condition, None)))
        wait_till_blocked(process.sockets.get(root))
    accepting.append(Meanwhile(lambda: ws.accept(root, None, None)))
    asking(name)
    assert inside.wait(5)
    # The other threads let the request be, and who calls now is told so.
    assert failure(ws.accept(root, None, None)) == c.WSAEINPROGRESS
    for _ in range(2):
        asking(name)
    assert len(seen) == 1
    go.set()
    legs = {call.result() for call in accepting}
    assert len(legs - {c.INVALID_SOCKET}) == 3
    assert len(set(seen)) == len(seen)


@pytest.mark.requirement("AC-26", "EV-49", "AC-25")
@isolated
def test_deferred_request_is_readable_and_calls_nobody() -> None:
    start()
    root, name = a_listening(ROOT)
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, event, c.FD_ACCEPT) == 0
    asking(name)
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    assert failure(ws.WSAAccept(root, None, None, lambda *_: c.CF_DEFER, None)) == c.WSATRY_AGAIN
    # An accept would not have to wait.
    assert ws.select(0, fd_set([root]), None, None, TIMEVAL()) == 1
    second = a_socket(LEAF)
    joining = Meanwhile(lambda: join(second, name))
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 100, False) == c.WSA_WAIT_TIMEOUT
    assert ws.accept(root, None, None) != c.INVALID_SOCKET
    # The first is decided: now the second one is announced.
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    assert ws.accept(root, None, None) != c.INVALID_SOCKET
    assert joining.result() == second
    assert ws.select(0, fd_set([root]), None, None, TIMEVAL()) == 0


@pytest.mark.requirement("EV-25", "EV-29")
@isolated
def test_accept_that_fails_announces_the_request_again() -> None:
    def fails(*_: object) -> int:
        raise LookupError

    start()
    root, name = a_listening(ROOT)
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, event, c.FD_ACCEPT) == 0
    leaf = asking(name)
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    assert failure(ws.accept(root, bytearray(3), Ref(3))) == c.WSAEFAULT
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    no_function: Callable[..., int] = ws.WSAAccept
    assert failure(no_function(root, None, None, "no function", None)) == c.WSAEFAULT
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    assert failure(ws.WSAAccept(root, None, None, lambda *_: 7, None)) == c.WSAEINVAL
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    # An error of the program's own is the program's; the request waits, and the listener can be used.
    with pytest.raises(LookupError):
        ws.WSAAccept(root, None, None, fails, None)
    assert events_of(root, event, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    assert ws.WSAEventSelect(leaf, event, c.FD_CONNECT) == 0
    assert ws.accept(root, None, None) != c.INVALID_SOCKET
    assert events_of(leaf, event, c.FD_CONNECT) == {c.FD_CONNECT: 0}


@pytest.mark.requirement("AC-03", "AC-10", "AC-14")
@pytest.mark.parametrize("way", ["asks", "is invited"])
@isolated
def test_what_has_joined_takes_no_requests(way: str) -> None:
    start()
    listener, name = a_listening(ROOT if way == "asks" else LEAF)
    joiner = a_socket(LEAF if way == "asks" else ROOT)
    accepting = Meanwhile(lambda: ws.accept(listener, None, None))
    joined = join(joiner, name)
    for s in (joined, accepting.result()):
        assert failure(ws.listen(s, 5)) == c.WSAEISCONN
        assert failure(ws.accept(s, None, None)) == c.WSAEINVAL
        assert failure(ws.WSAAccept(s, None, None, lambda *_: c.CF_ACCEPT, None)) == c.WSAEINVAL
