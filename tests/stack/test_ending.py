"""How sessions end, from either side, in order and not, on real sockets."""

import os
import signal
import socket
from functools import partial

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    LEAF,
    ROOT,
    Meanwhile,
    Watcher,
    a_group_socket,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    invite,
    wait_till_blocked,
)
from tests.stack.sniffer import Sniffer, is_leave

from multipoint import constants as c
from multipoint import wire
from multipoint.catalogue import PROTOCOLS
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.stack import Stack
from multipoint.values import Caller, JoinRequest, Settings, Verdict
from multipoint.wire import Endpoint


@pytest.mark.requirement("CL-01", "CL-02", "CL-03", "CL-04", "CL-06", "CL-39", "EV-42", "EV-43")
@pytest.mark.parametrize("how", ["close", "shutdown both", "shutdown send"])
@isolated
def test_root_ends_the_session_for_everybody(how: str) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        legs = [admit(root, leaf)]
        leg, member = invite(root, a_listening_leaf(stack))
        sockets = [*legs, leg, leaf, member]
        watchers = [Watcher(sock) for sock in sockets]
        at_root = Watcher(root)
        if how == "close":
            root.close()
        else:
            root.shutdown(c.SD_BOTH if how == "shutdown both" else c.SD_SEND)
            assert NetworkEvent.CLOSE not in root.enumerate_events()
            assert code_of(lambda: root.send(b"late")) == c.WSAESHUTDOWN
            assert code_of(lambda: root.join(("127.0.0.1", 5))) == c.WSAEISCONN
            assert code_of(root.listen) == c.WSAEINVAL
        codes = [watcher.wait_for(sock, NetworkEvent.CLOSE) for watcher, sock in zip(watchers, sockets, strict=True)]
        assert codes == [0] * 4
        assert at_root
        for sock in sockets:
            sock.close()


@pytest.mark.requirement("CL-01", "AC-18")
@pytest.mark.parametrize("end", ["close", "shutdown"])
@isolated
def test_leaf_that_has_connected_and_not_asked_yet_is_refused_at_the_end(end: str) -> None:
    with Stack() as stack:
        root = a_root(stack)
        with socket.create_connection(root.local_address, 5) as leaf:
            leaf.sendall(wire.encode(wire.Hello()))
            # The stack takes callers in turn: by now it has taken that one too.
            admit(root, a_leaf(stack))
            if end == "close":
                root.close()
            else:
                root.shutdown(c.SD_SEND)
            heard = wire.Decoder()
            while data := leaf.recv(1000):
                heard.feed(data)
            assert list(heard.messages())[1:] == [wire.Reject(c.WSAECONNREFUSED)]


@pytest.mark.requirement("CL-09", "DP-27", "EV-43")
@isolated
def test_root_hears_nothing_of_its_last_leaf_and_goes_on_without_any() -> None:
    with Stack() as stack:
        root = a_root(stack)
        for _ in range(2):
            leaf = a_leaf(stack)
            leg = admit(root, leaf)
            watcher, at_root = Watcher(leg), Watcher(root)
            root.enumerate_events()
            leaf.close()
            assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
            assert root.enumerate_events() == {}
            assert root.send(b"anybody?") == 8
            assert at_root
            # Blocking again, for the next leaf.
            root.select_events(None, 0)
            root.set_blocking(True)


@pytest.mark.requirement("CL-07", "DP-26")
@isolated
def test_leaf_that_leaves_is_missed_by_its_leg_only() -> None:
    with Stack() as stack:
        root, leaf, staying = a_root(stack), a_leaf(stack), a_leaf(stack)
        leg, other = admit(root, leaf), admit(root, staying)
        watcher, at_other = Watcher(leg), Watcher(other, c.FD_CLOSE)
        leaf.close()
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
        root.send(b"go on")
        assert staying.receive()[0] == b"go on"
        assert other.enumerate_events() == {}
        assert at_other
        assert code_of(leg.receive) == c.WSAEDISCON
        assert code_of(lambda: leg.send(b"gone")) == c.WSAENOTCONN


@pytest.mark.requirement("CL-08")
@isolated
def test_closing_a_leg_sends_its_leaf_away() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        watcher = Watcher(leaf)
        leg.close()
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == 0
        assert code_of(leaf.receive) == c.WSAEDISCON
        assert code_of(lambda: leaf.send(b"gone")) == c.WSAENOTCONN
        assert code_of(lambda: leaf.join(root.local_address)) == c.WSAEISCONN


@pytest.mark.requirement("CL-32", "CL-31", "EV-44")
@pytest.mark.parametrize("how", [c.SD_SEND, c.SD_BOTH], ids=["SD_SEND", "SD_BOTH"])
@isolated
def test_leaf_asks_to_leave_and_still_hears_until_the_leg_is_closed(how: int) -> None:
    with Stack() as stack:
        root, leaf, other = a_root(stack), a_leaf(stack), a_leaf(stack)
        leg = admit(root, leaf)
        admit(root, other)
        watcher, at_leg = Watcher(leaf), Watcher(leg)
        leaf.shutdown(how)
        assert at_leg.wait_for(leg, NetworkEvent.CLOSE) == 0
        assert code_of(lambda: leaf.send(b"late")) == c.WSAESHUTDOWN
        root.send(b"still the group")
        assert other.receive()[0] == b"still the group"
        if how == c.SD_SEND:
            assert watcher.wait_for(leaf, NetworkEvent.READ) == 0
            assert leaf.receive()[0] == b"still the group"
        else:
            assert code_of(leaf.receive) == c.WSAESHUTDOWN
        assert NetworkEvent.CLOSE not in leaf.enumerate_events()
        leg.close()
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == 0


@pytest.mark.requirement("CL-30", "CL-27", "CL-36")
@isolated
def test_shutdown_of_what_is_not_joined() -> None:
    with Stack() as stack:
        root, leaf = stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT), a_leaf(stack)
        for sock in (root, leaf):
            for how in (c.SD_RECEIVE, c.SD_SEND, c.SD_BOTH):
                assert code_of(partial(sock.shutdown, how)) == c.WSAENOTCONN
            assert code_of(partial(sock.shutdown, c.SD_SEND, b"bye")) == c.WSAENOTCONN
            assert code_of(partial(sock.receive_disconnect, 10)) == c.WSAENOTCONN
            sock.close()
            assert code_of(partial(sock.shutdown, c.SD_BOTH)) == c.WSAENOTSOCK
        listener, codes = a_root(stack), list[int]()

        def condition(_: Caller) -> Verdict:
            codes.append(code_of(partial(listener.shutdown, c.SD_BOTH)))
            codes.append(code_of(listener.close))
            return Verdict()

        admit(listener, a_leaf(stack), condition)
        assert codes == [c.WSAEINPROGRESS] * 2


@pytest.mark.requirement("CL-11", "CL-12", "EV-42")
@isolated
def test_data_from_before_the_end_is_read_first() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        watcher = Watcher(leaf)
        root.send(b"last words")
        assert watcher.wait_for(leaf, NetworkEvent.READ) == 0
        root.close()
        assert leaf.receive()[0] == b"last words"
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == 0
        assert code_of(leaf.receive) == c.WSAEDISCON


@pytest.mark.requirement("CL-05", "D-79")
@pytest.mark.parametrize("how", [None, c.SD_SEND, c.SD_BOTH], ids=["close", "SD_SEND", "SD_BOTH"])
@isolated
def test_request_at_a_closing_root_is_refused(how: int | None) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        watcher = Watcher(root)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        if how is None:
            root.close()
        else:
            root.shutdown(how)
        assert code_of(joining.result) == c.WSAECONNREFUSED


@pytest.mark.requirement("CL-20", "CL-13", "SU-11", "SU-09", "CL-30", "CL-35", "CL-37", "EV-31", "EV-42")
@pytest.mark.parametrize("how", ["WSACleanup", "linger 0"])
@pytest.mark.parametrize("who", ["leaf", "root", "leg"])
@isolated
def test_abortive_end_is_a_reset(who: str, how: str) -> None:
    with Stack() as near, Stack() as far:
        root, leaf = a_root(near), a_leaf(far)
        leg = admit(root, leaf)
        told = leg if who == "leaf" else leaf
        watcher = Watcher(told)
        # What lies unread is lost with the end.
        for _ in range(3):
            root.send(b"unread")
        leg.send(b"unread")
        leaf.send(b"unread", leaf.peer_address)
        assert watcher.wait_for(told, NetworkEvent.READ) == 0
        if how == "linger 0":
            ending = {"leaf": leaf, "root": root, "leg": leg}[who]
            ending.options.linger = True, 0
            ending.close()
        else:
            (far if who == "leaf" else near).close()
        assert watcher.wait_for(told, NetworkEvent.CLOSE) == c.WSAECONNRESET
        for call in (told.receive, partial(told.send, b"late"), partial(told.shutdown, c.SD_BOTH)):
            assert code_of(call) == c.WSAECONNRESET
        assert told.enumerate_events() == {}
        assert told.receive_disconnect(10) == b""
        assert code_of(partial(told.join, ("127.0.0.1", 9))) == c.WSAEISCONN


@pytest.mark.requirement("CL-10", "CL-19", "CL-20")
@pytest.mark.parametrize("dying", ["leaf", "root"])
@isolated
def test_killed_process_is_a_reset_at_the_other_end(dying: str) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with Stack() as stack:
            root = a_root(stack)
            os.write(writing, str(root.local_address.port).encode())
            if dying == "leaf":
                leg = root.accept()
                assert Watcher(leg).wait_for(leg, NetworkEvent.CLOSE) == c.WSAECONNRESET
                os._exit(0)
            root.accept()
            signal.pause()
    port = int(os.read(reading, 10))
    if dying == "root":
        with Stack() as stack:
            leaf = a_leaf(stack)
            leaf.join(("127.0.0.1", port))
            watcher = Watcher(leaf)
            os.kill(child, signal.SIGKILL)
            assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == c.WSAECONNRESET
        os.waitpid(child, 0)
        return
    victim = os.fork()
    if victim == 0:
        a_leaf(Stack()).join(("127.0.0.1", port))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(victim, 0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.requirement("CL-21", "CL-13", "EV-42")
@isolated
def test_stopped_process_falls_silent() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        root = a_root(Stack(Settings(silence_s=0.1)))
        os.write(writing, str(root.local_address.port).encode())
        root.accept()
        signal.pause()
    port = int(os.read(reading, 10))
    with Stack() as stack:
        leaf = a_leaf(stack)
        leaf.join(("127.0.0.1", port))
        watcher = Watcher(leaf)
        os.kill(child, signal.SIGSTOP)
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == c.WSAECONNABORTED
        assert code_of(leaf.receive) == code_of(partial(leaf.send, b"?")) == c.WSAECONNABORTED
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.requirement("CL-25", "AC-17")
@pytest.mark.parametrize("which", ["accept", "receive of the root", "of a member", "of a leg", "of a group"])
@isolated
def test_close_elsewhere_ends_a_blocking_call(which: str) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        sock = {"accept": root, "receive of the root": root, "of a member": leaf, "of a leg": leg}.get(which)
        sock = sock or a_group_socket(stack, Endpoint("239.1.2.3", 5000))
        blocked = Meanwhile[object](sock.accept if which == "accept" else sock.receive)
        wait_till_blocked(sock)
        sock.close()
        assert code_of(blocked.result) == c.WSAEINTR


@pytest.mark.requirement("CL-12")
@isolated
def test_end_of_the_session_ends_a_blocking_receive() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        receiving = Meanwhile(leaf.receive)
        wait_till_blocked(leaf)
        root.close()
        assert code_of(receiving.result) == c.WSAEDISCON


@pytest.mark.requirement("CL-27", "SK-22")
@isolated
def test_everything_fails_on_a_closed_socket() -> None:
    with Stack() as stack:
        for sock in (a_root(stack), a_leaf(stack), a_leaf(stack, provider=ProviderClass.CONF)):
            sock.close()
            for call in (sock.close, sock.listen, sock.accept, sock.receive, partial(sock.send, b"")):
                assert code_of(call) == c.WSAENOTSOCK


@pytest.mark.requirement("CL-33", "CL-17", "CL-31")
@pytest.mark.parametrize("provider", [ProviderClass.MCAST, ProviderClass.SSM])
@isolated
def test_plain_socket_leaves_its_group_when_it_is_closed_and_not_before(provider: ProviderClass) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        group = Endpoint("232.1.2.3", 5000)
        sources = (pair.right.address,) if provider is ProviderClass.SSM else ()
        socks = [stack.socket(c.AF_INET, c.SOCK_DGRAM, PROTOCOLS[provider], None, LEAF) for _ in range(3)]
        unjoined, first, last = socks
        for sock in (first, last):
            sock.options.reuse_address = True
            sock.join(group, JoinRequest(JoinRole.RECEIVER_ONLY, sources=sources))
        with pair.right:
            link = Sniffer()
        for sock in (first, last):
            for how in (c.SD_RECEIVE, c.SD_BOTH):
                if how == c.SD_RECEIVE:
                    sock.shutdown(how)
                    assert code_of(sock.receive) == c.WSAESHUTDOWN
                sock.shutdown(c.SD_BOTH)
        for how in (c.SD_RECEIVE, c.SD_SEND, c.SD_BOTH):
            unjoined.shutdown(how)
        assert pair.left.has_joined(group.host)
        first.close()
        # Another socket of the host holds it still.
        assert pair.left.has_joined(group.host)
        last.close()
        assert not pair.left.has_joined(group.host)
        leaves = [
            frame for frame in link.until_frame(lambda frame: is_leave(frame, group.host)) if frame.to == "224.0.0.22"
        ]
        assert sum(is_leave(frame, group.host) for frame in leaves) == 1


@pytest.mark.requirement("CL-33", "CL-31")
@isolated
def test_shutdown_of_sending_lets_a_plain_socket_receive() -> None:
    with Stack() as stack:
        group = Endpoint("239.1.2.3", 5000)
        sock, other = a_group_socket(stack, group), a_group_socket(stack, group)
        sock.shutdown(c.SD_SEND)
        assert code_of(lambda: sock.send(b"no")) == c.WSAESHUTDOWN
        other.send(b"still here")
        assert sock.receive()[0] == b"still here"


@pytest.mark.requirement("CL-19")
@isolated
def test_killed_process_leaves_its_groups() -> None:
    pair = Pair()
    with pair.left:
        link = Sniffer()
    with pair.right:
        victim = os.fork()
        if victim == 0:
            stack = Stack()
            sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
            sock.join(("239.1.2.3", 5000))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(victim, 0)
    assert link.until_frame(lambda frame: is_leave(frame, "239.1.2.3"))
    assert not pair.right.has_joined("239.1.2.3")
