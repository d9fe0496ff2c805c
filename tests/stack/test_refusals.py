"""A datagram to a port where nobody is: the next receive tells, and the membership goes on."""

import socket

import pytest
from tests.stack.flows import start
from tests.stack.network import isolated
from tests.stack.people import LEAF, Watcher, code_of, code_or_none

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.events import NetworkEvent
from multipoint.layouts import WSABUF
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Ref, sockaddr
from multipoint.winsock import WSAOVERLAPPED, fd_set

GROUP = ("239.1.1.1", 5000)


@pytest.mark.requirement("DP-37")
@pytest.mark.parametrize("is_blocking", [True, False])
@isolated
def test_refusal_shows_in_the_next_receive_and_ends_nothing(is_blocking: bool) -> None:
    with Stack() as stack:
        sock, where = a_member(stack), nobodys_port()
        sock.set_blocking(is_blocking)
        sock.send(b"lost", where)
        assert code_of(sock.receive) == c.WSAECONNRESET
        # What comes in between is sent all the same, and the refusal is not forgotten.
        sock.send(b"lost too", where)
        assert sock.send(b"group") == 5
        assert code_of(sock.receive) == c.WSAECONNRESET
        assert sock.receive()[0] == b"group"
        sock.set_blocking(False)
        assert code_or_none(sock.receive) == c.WSAEWOULDBLOCK
        assert sock.peer_address == GROUP


def nobodys_port() -> tuple[str, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        where: tuple[str, int] = nobody.getsockname()
        return where


def a_member(stack: Stack) -> MultipointSocket:
    sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
    sock.set_interface(1)
    sock.join(GROUP)
    return sock


@pytest.mark.requirement("DP-37", "EV-36")
@pytest.mark.parametrize("sends_on", [False, True], ids=["told by the kernel", "told by the next send"])
@isolated
def test_refusal_is_an_fd_read_whose_receive_fails(sends_on: bool) -> None:
    with Stack() as stack:
        sock, where = a_member(stack), nobodys_port()
        watcher = Watcher(sock, c.FD_READ)
        with stack.lock:
            # The stack's thread can't look before the second send has.
            sock.send(b"lost", where)
            if sends_on:
                sock.send(b"lost too", where)
        assert watcher.wait_for(sock, NetworkEvent.READ) == 0
        assert code_of(sock.receive) == c.WSAECONNRESET
        if sends_on:
            # The second refusal has been told with the first, or is told now.
            while code_or_none(sock.receive) == c.WSAECONNRESET:
                pass
            sock.enumerate_events()
        # The receive that failed has re-enabled the event, and nothing is here now.
        assert sock.enumerate_events() == {}
        sock.send(b"group")
        assert watcher.wait_for(sock, NetworkEvent.READ) == 0
        assert sock.receive()[0] == b"group"


def a_handle(flags: int = 0) -> int:
    start()
    s = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF | flags)
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, (1).to_bytes(4, "big"), 4) == 0
    assert ws.WSAJoinLeaf(s, sockaddr(*GROUP), 16, None, None, None, None, c.JL_BOTH) == s
    return s


@pytest.mark.requirement("DP-37", "EV-46")
@isolated
def test_refusal_makes_a_socket_readable_for_select() -> None:
    s = a_handle()
    assert ws.sendto(s, b"lost", 4, 0, sockaddr(*nobodys_port()), 16) == 4
    for _ in range(2):
        reads, excepts = fd_set([s]), fd_set([s])
        assert ws.select(0, reads, None, excepts, None) == 1
        assert (reads.fd_array, excepts.fd_array) == ([s], [])
    assert ws.recv(s, bytearray(9), 9, 0) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAECONNRESET
    assert ws.select(0, fd_set([s]), None, None, ws.TIMEVAL()) == 0


@pytest.mark.requirement("DP-37", "DP-36")
@isolated
def test_refusal_ends_a_receive_that_is_pending() -> None:
    s = a_handle(c.WSA_FLAG_OVERLAPPED)
    operations = [WSAOVERLAPPED(), WSAOVERLAPPED()]
    rooms = [bytearray(5) for _ in operations]
    for room, overlapped in zip(rooms, operations, strict=True):
        assert ws.WSARecv(s, [WSABUF(5, room)], 1, None, Ref(0), overlapped, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSA_IO_PENDING
    assert ws.sendto(s, b"lost", 4, 0, sockaddr(*nobodys_port()), 16) == 4
    assert not ws.WSAGetOverlappedResult(s, operations[0], Ref(0), True, Ref(0))
    assert ws.WSAGetLastError() == c.WSAECONNRESET
    assert ws.send(s, b"group", 5, 0) == 5
    assert ws.WSAGetOverlappedResult(s, operations[1], Ref(0), True, Ref(0))
    assert rooms == [bytes(5), b"group"]
