"""Blocking calls: cancelled by their program, refused inside each other, in versions and dialects that know that."""

from collections.abc import Callable

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, wait_till_blocked
from tests.stack.test_winsock import NOBODY, a_listening, a_socket, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.layouts import WSABUF, WSADATA
from multipoint.values import Ref, Settings
from multipoint.winsock import WSAOVERLAPPED

MODERN, OLD = 0x0202, 0x0101


def start(version: int, dialect: str = "modern") -> None:
    assert ws.WSAStartup(version, WSADATA(), settings=Settings(dialect=dialect, join_timeout_s=30)) == 0


def failure(call: Callable[[], object]) -> int:
    """Return the code with which a call fails, 0 if it doesn't."""
    ws.WSASetLastError(0)
    call()
    return ws.WSAGetLastError()


def blocked(s: int, call: Callable[[], object]) -> Meanwhile[int]:
    """Start a call; return once it blocks on the socket. Its result is the code with which it fails."""
    running = Meanwhile(lambda: failure(call))
    wait_till_blocked(process.sockets.get(s))
    return running


@pytest.mark.requirement("DI-07", "JL-73")
@pytest.mark.parametrize(("version", "dialect"), [(OLD, "modern"), (MODERN, "spec1990")])
@pytest.mark.parametrize("who", ["leaf", "root"])
@isolated
def test_cancelled_join_can_be_made_anew(version: int, dialect: str, who: str) -> None:
    start(version, dialect)
    asked, name = a_listening(LEAF if who == "root" else ROOT)
    asking = a_socket(ROOT if who == "root" else LEAF)
    joining = blocked(asking, lambda: join(asking, name))
    assert ws.WSACancelBlockingCall() == 0
    assert joining.result() == c.WSAEINTR
    # What was asked is taken back; the next question is another one.
    again = blocked(asking, lambda: join(asking, name, lpCallerData=WSABUF(5, b"again")))
    assert ws.ioctlsocket(asked, c.FIONBIO, Ref(1)) == 0

    def condition(_: object, data: WSABUF | None, *__: object) -> int:
        return c.CF_ACCEPT if data and data.buf == b"again" else c.CF_REJECT

    while ws.WSAAccept(asked, None, None, condition, None) == c.INVALID_SOCKET:
        assert ws.WSAGetLastError() in (c.WSAEWOULDBLOCK, c.WSAECONNREFUSED, c.WSAEACCES)
    assert again.result() == 0


@pytest.mark.requirement("DI-07")
@pytest.mark.parametrize("call", ["accept", "recv"])
@isolated
def test_other_calls_are_cancelled_too(call: str) -> None:
    start(OLD)
    root, _ = a_listening(ROOT)
    calls = {"accept": lambda: ws.accept(root, None, None), "recv": lambda: ws.recv(root, bytearray(9), 9, 0)}
    running = blocked(root, calls[call])
    assert ws.WSACancelBlockingCall() == 0
    assert running.result() == c.WSAEINTR
    assert failure(ws.WSACancelBlockingCall) == c.WSAEINVAL


@pytest.mark.requirement("DI-07")
@pytest.mark.parametrize(("version", "dialect"), [(MODERN, "modern"), (MODERN, "ce"), (OLD, "ce")])
@isolated
def test_cancelling_was_removed(version: int, dialect: str) -> None:
    start(version, dialect)
    assert failure(ws.WSACancelBlockingCall) == failure(ws.WSAIsBlocking) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("DI-08", "JL-72", "SU-05", "SK-20", "EV-13", "AC-29")
@pytest.mark.parametrize(
    ("version", "dialect", "code"),
    [
        (MODERN, "modern", 0),
        (OLD, "modern", c.WSAEINPROGRESS),
        (MODERN, "spec1990", 0),
        (MODERN, "ce", c.WSAEINPROGRESS),
    ],
)
@isolated
def test_calls_inside_a_callback(version: int, dialect: str, code: int) -> None:
    start(version, dialect)
    root, name = a_listening(ROOT)
    leaf, other, event, codes = a_socket(LEAF), a_socket(LEAF), ws.WSACreateEvent(), list[int]()

    def condition(*_: object) -> int:
        started = ws.WSAStartup(version, WSADATA())
        codes.append(started)
        if not started:
            ws.WSACleanup()
        codes.append(failure(lambda: ws.WSAEventSelect(other, event, c.FD_READ)))
        codes.append(failure(lambda: a_socket(LEAF) if code == 0 else ws.socket(c.AF_INET, c.SOCK_DGRAM, 0)))
        # These three calls on the listener itself are refused in every version (AC-29).
        for call in (lambda: ws.listen(root, 1), lambda: join(root, NOBODY), lambda: ws.closesocket(root)):
            assert failure(call) == c.WSAEINPROGRESS
        return c.CF_ACCEPT

    joining = Meanwhile(lambda: join(leaf, name))
    assert ws.WSAAccept(root, None, None, condition, None) != c.INVALID_SOCKET
    assert joining.result() == leaf
    assert codes == [code] * 3
    # Over is over.
    assert ws.closesocket(root) == 0


@pytest.mark.requirement("DI-08", "DI-07", "JL-73", "JL-74")
@isolated
def test_routine_inside_a_blocking_join_of_version_1() -> None:
    start(OLD)
    root, name = a_listening(ROOT | c.WSA_FLAG_OVERLAPPED)
    leaf, asking, seen = a_socket(LEAF | c.WSA_FLAG_OVERLAPPED), a_socket(ROOT), list[object]()
    letting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    letting.result()
    silent, nobody_accepts = a_listening(LEAF)
    assert ws.WSAIsBlocking() is False

    def routine(*_: object) -> None:
        seen.append(ws.WSAIsBlocking())
        seen.append(failure(lambda: ws.send(leaf, b"x", 1, 0)))
        seen.append(ws.WSACancelBlockingCall())

    def call() -> None:
        room = WSABUF(9, bytearray(9))
        ws.WSARecv(leaf, [room], 1, None, Ref(0), WSAOVERLAPPED(), routine)
        join(asking, nobody_accepts)

    joining = blocked(asking, call)
    assert ws.send(root, b"go", 2, 0) == 2
    assert joining.result() == c.WSAEINTR
    assert seen == [True, c.WSAEINPROGRESS, 0]
    assert ws.closesocket(silent) == 0
