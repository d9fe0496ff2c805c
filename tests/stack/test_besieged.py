"""Peers who ask much and hear nothing, hold lines, or flood the data port: the stack is there for the others."""

import functools
import socket
from collections.abc import Callable

import pytest
from tests.stack.flows import NOTHING, a_flow, sending
from tests.stack.network import isolated
from tests.stack.people import (
    PATIENCE_S,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    wait_till_blocked,
)

from multipoint import constants as c
from multipoint import rooted, wire
from multipoint.connection import MAX_UNSENT
from multipoint.datagram import Authenticator
from multipoint.events import NetworkEvent
from multipoint.flow import QOS
from multipoint.flow_rules import pack_object
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.link import Patience
from multipoint.sealed import MAX_DROPPED, SealedSocket, Source
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest, Settings
from multipoint.wire import Endpoint

HELLO = wire.encode(wire.Hello())
KEY = bytes(32)


def ask(root: MultipointSocket, provider: ProviderClass = ProviderClass.P2MP, more: bytes = b"") -> socket.socket:
    """Ask to be let in, and stay on the line whatever the answer."""
    peer = socket.create_connection(root.local_address, PATIENCE_S, ("127.0.0.2", 0))
    join = wire.Join(provider, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, Endpoint("127.0.0.2", 9))
    peer.sendall(HELLO + wire.encode(join) + more)
    return peer


def hears_nothing_more(peer: socket.socket) -> bool:
    try:
        while peer.recv(1000):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.requirement("QS-36", "AC-09")
@isolated
def test_who_does_not_answer_the_offer_of_flows_is_dropped() -> None:
    with Stack() as stack:
        stack.patience = Patience(greeting_s=0.05)
        root = a_root(stack)
        root.set_qos(sending(7000))
        assert hears_nothing_more(ask(root))
        assert stack.counters.silent == 1
        # Who answers is not.
        admit(root, a_leaf(stack))


@pytest.mark.requirement("AC-09")
@pytest.mark.parametrize("how", ["refused", "cancelled", "never answers"])
@isolated
def test_one_host_cannot_keep_others_out_by_holding_the_line(how: str) -> None:
    rooted.MAX_UNASKED = 3
    with Stack() as stack:
        root = a_root(stack)
        if how == "never answers":
            root.set_qos(sending(7000))
        lines = []
        for _ in range(5):
            provider = ProviderClass.CONF if how == "refused" else ProviderClass.P2MP
            lines.append(ask(root, provider, wire.encode(wire.Cancel()) if how == "cancelled" else b""))
            if len(lines) <= rooted.MAX_UNASKED:
                # It has been heard.
                lines[-1].recv(1)
        assert hears_nothing_more(lines[3])
        assert hears_nothing_more(lines[4])
        assert stack.counters.crowded == 2
        admit(root, a_leaf(stack))


def ask_on(peer: socket.socket, question: bytes) -> None:
    while True:
        peer.sendall(question)


@pytest.mark.requirement("QS-09")
@isolated
def test_member_who_asks_and_takes_no_answers_is_not_heard_on() -> None:
    with Stack() as stack:
        root = a_root(stack)
        leg_of = Meanwhile(root.accept)
        peer = ask(root)
        leg = leg_of.result()
        objects = pack_object(c.QOS_OBJECT_DESTADDR, bytes(4000))
        question = wire.encode(wire.FlowRequest(1, QOS.of(a_flow(1000), NOTHING, objects)))
        peer.settimeout(0.5)
        with pytest.raises(TimeoutError):
            ask_on(peer, question)
        (link,) = (connection.link for connection in stack.connections)
        assert MAX_UNSENT < len(link.outgoing) < MAX_UNSENT + (1 << 20)
        # The others are served.
        admit(root, a_leaf(stack))
        leg.close()


@pytest.mark.requirement("QS-09")
@pytest.mark.parametrize("is_blocking", [True, False])
@isolated
def test_member_who_never_answers_a_change_of_flows_has_refused_it(is_blocking: bool) -> None:
    with Stack() as stack:
        stack.patience = Patience(join_s=0.1)
        root = a_root(stack)
        accepting = Meanwhile(root.accept)
        peer = ask(root)
        accepting.result()
        if is_blocking:
            assert code_of(lambda: root.set_qos(sending(7000))) == c.WSAEOPNOTSUPP
        else:
            watcher = Watcher(root, c.FD_QOS)
            root.set_qos(sending(7000))
            assert watcher.wait_for(root, NetworkEvent.QOS) == 0
        assert root.get_qos().SendingFlowspec == sending(7000).ReceivingFlowspec
        peer.close()


def a_plane() -> tuple[SealedSocket, Callable[[bytes], object], Callable[[], object]]:
    """Return a root's end of a data plane, and how a stranger and its one member speak to it."""
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for end in ends:
        end.bind(("127.0.0.1", 0))
    ends[0].setblocking(False)
    here = Endpoint(*ends[0].getsockname())
    plane, member = SealedSocket(ends[0], 7, 0), SealedSocket(ends[1], 7, 1)
    plane.welcome(1, Source(Authenticator(KEY), None))
    return plane, lambda data: ends[1].sendto(data, here), lambda: member.send(b"mine", here, Authenticator(KEY))


@pytest.mark.requirement("DP-23", "DP-25")
@isolated
def test_flood_at_the_data_port_leaves_time_for_other_things() -> None:
    plane, flood, speak = a_plane()
    dropped = list[object]()
    plane.on_drop = dropped.append
    for _ in range(2 * MAX_DROPPED - 1):
        flood(b"nothing of yours")
    speak()
    with pytest.raises(BlockingIOError):
        plane.receive()
    assert len(dropped) == MAX_DROPPED
    assert plane.receive()[0] == b"mine"


@pytest.mark.requirement("DP-23", "EV-26")
@isolated
def test_message_behind_a_flood_is_found_in_each_way_of_waiting() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        plane = root.data_socket()
        assert plane
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            flood = functools.partial(stranger.sendto, b"nothing of yours", plane.getsockname())
            receiving = Meanwhile(root.receive)
            wait_till_blocked(root)
            for wait in ("blocking", "event"):
                with stack.lock:
                    for _ in range(3 * MAX_DROPPED):
                        flood()
                    leaf.send(wait.encode())
                if wait == "blocking":
                    assert receiving.result()[0] == b"blocking"
                    watcher = Watcher(root, c.FD_READ)
                else:
                    assert watcher.wait_for(root, NetworkEvent.READ) == 0
                    assert root.receive()[0] == b"event"
        assert stack.counters.no_datagram == 6 * MAX_DROPPED


@pytest.mark.requirement("QS-04", "QS-38", "QS-39")
@isolated
def test_refused_join_goes_back_to_flows_for_which_there_is_no_room_any_more() -> None:
    with Stack(Settings(capacities={"lo": 100_000})) as stack, Stack() as other:
        listener, root, taking = a_listening_leaf(other), a_root(stack), a_leaf(stack)
        root.set_qos(sending(80_000))
        taking.bind(("127.0.0.1", 0))
        joining = Meanwhile(lambda: root.join(listener.local_address, JoinRequest(qos=sending(40_000))))
        wait_till_blocked(root)
        taking.set_qos(sending(50_000))
        listener.close()
        assert code_of(joining.result) == c.WSAECONNREFUSED
        assert root.get_qos().SendingFlowspec.TokenRate == 50_000
        taking.close()
        stack.set_capacity("lo", 100_000)
        assert root.get_qos().SendingFlowspec.TokenRate == 80_000


@pytest.mark.requirement("QS-09", "QS-39")
@isolated
def test_refused_change_goes_back_to_flows_for_which_there_is_no_room_any_more() -> None:
    with Stack(Settings(capacities={"lo": 100_000})) as stack:
        root, taking = a_root(stack), a_leaf(stack)
        accepting = Meanwhile(root.accept)
        peer = ask(root)
        accepting.result()
        root.put_flows(sending(80_000))  # type: ignore[attr-defined]
        taking.bind(("127.0.0.1", 0))
        changing = Meanwhile(lambda: root.set_qos(sending(40_000)))
        wait_till_blocked(root)
        taking.set_qos(sending(50_000))
        peer.sendall(wire.encode(wire.FlowAnswer(1, c.WSAEOPNOTSUPP, sending(40_000))))
        assert code_of(changing.result) == c.WSAEOPNOTSUPP
        assert root.get_qos().SendingFlowspec.TokenRate == 50_000
