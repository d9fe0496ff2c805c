"""A forked child gets a clear answer, and its end is not noticed by the parent's peers."""

import os
import traceback
from collections.abc import Callable

import pytest
from tests.stack.network import isolated
from tests.stack.people import (
    LEAF,
    ROOT,
    Meanwhile,
    Watcher,
    a_group_socket,
    a_leaf,
    a_root,
    admit,
    code_of,
    wait_till_blocked,
)
from tests.stack.test_winsock import a_listening, a_socket, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.events import NetworkEvent
from multipoint.layouts import WSABUF, WSADATA
from multipoint.stack import Stack
from multipoint.values import Ref, sockaddr
from multipoint.winsock import WSAOVERLAPPED
from multipoint.wire import Endpoint


class Child:
    """A forked child that runs ``body`` and then, if asked to stay, lives on until ``end``."""

    def __init__(self, body: Callable[[], None], *, stays: bool = False) -> None:
        done, report = os.pipe()
        stay, self._leave = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(report)
            os.close(stay)
            with os.fdopen(done) as told:
                self._story = told.read()
            return
        os.close(self._leave)
        try:
            body()
        except BaseException:
            os.write(report, traceback.format_exc().encode())
        os.close(report)
        if stays:
            os.read(stay, 1)
        os._exit(0)

    def end(self) -> None:
        """Let it go; fail as its body did."""
        os.close(self._leave)
        os.waitpid(self._pid, 0)
        assert not self._story, self._story


@pytest.mark.requirement("SK-19")
@isolated
def test_child_can_not_use_the_parents_sockets_and_does_not_end_them() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg, group = admit(root, leaf), a_group_socket(stack, Endpoint("239.1.2.3", 5000))
        at_leg = Watcher(leg)

        def body() -> None:
            with stack:
                calls = (root.accept, leaf.receive, lambda: leg.send(b"x"), group.close, leaf.listen, stack.socket)
                for call in calls:
                    assert code_of(call) == c.WSANOTINITIALISED
                with leaf:
                    pass

        Child(body).end()
        assert NetworkEvent.CLOSE not in leg.enumerate_events()
        root.send(b"still here")
        assert leaf.receive()[0] == b"still here"
        group.send(b"too")
        assert group.receive()[0] == b"too"
        assert at_leg


@isolated
def test_child_does_not_keep_open_what_the_parent_closes() -> None:
    with Stack() as stack:
        other = Stack()
        root, leaf = a_root(stack), a_leaf(other)
        leg = admit(root, leaf)
        watcher = Watcher(leg)
        child = Child(lambda: None, stays=True)
        other.close()
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == c.WSAECONNRESET
        child.end()


@pytest.mark.requirement("SU-06", "SU-12")
@isolated
def test_child_starts_a_stack_of_its_own() -> None:
    assert ws.WSAStartup(0x0202, WSADATA()) == 0
    s = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0, 0)
    event = ws.WSACreateEvent()
    assert ws.bind(s, sockaddr("127.0.0.1", 0), 16) == 0
    name = bytearray(16)
    assert ws.getsockname(s, name, Ref(16)) == 0

    def body() -> None:
        assert ws.closesocket(s) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSANOTINITIALISED
        assert ws.WSAStartup(0x0202, WSADATA()) == 0
        assert ws.send(s, b"x", 1, 0) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAENOTSOCK
        assert not ws.WSASetEvent(event)
        mine = ws.WSACreateEvent()
        assert ws.WSASetEvent(mine)
        own = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0, 0)
        assert own not in (s, c.INVALID_SOCKET)
        assert ws.sendto(own, b"hi", 2, 0, bytes(name), 16) == 2
        assert ws.WSACleanup() == 0

    Child(body).end()
    buffer = bytearray(4)
    assert ws.recv(s, buffer, 4, 0) == 2
    assert ws.WSASetEvent(event)
    assert ws.WSACleanup() == 0


@pytest.mark.requirement("SU-06", "JL-74")
@isolated
def test_routine_that_forks_inside_a_blocking_join() -> None:
    assert ws.WSAStartup(0x0202, WSADATA()) == 0
    root, name = a_listening(ROOT)
    leaf, speaker, at = a_socket(LEAF), ws.socket(c.AF_INET, c.SOCK_DGRAM, 0), bytearray(16)
    assert ws.bind(speaker, sockaddr("127.0.0.1", 0), 16) == ws.getsockname(speaker, at, Ref(16)) == 0
    children = list[int]()
    reading, writing = os.pipe()

    def call() -> int:
        room = WSABUF(1, bytearray(1))
        ws.WSARecv(speaker, [room], 1, None, Ref(0), WSAOVERLAPPED(), lambda *_: children.append(os.fork()))
        joined = join(leaf, name)
        if children == [0]:
            # The child is here, in a call that was the parent's.
            os.write(writing, b"%d %d" % (joined == c.INVALID_SOCKET, ws.WSAGetLastError()))
            os._exit(0)
        return joined

    joining = Meanwhile(call)
    wait_till_blocked(process.sockets.get(leaf))
    assert ws.sendto(speaker, b"x", 1, 0, bytes(at), 16) == 1
    assert os.read(reading, 100) == b"1 %d" % c.WSANOTINITIALISED
    assert ws.accept(root, None, None) != c.INVALID_SOCKET
    assert joining.result() == leaf
    os.waitpid(children[0], 0)
