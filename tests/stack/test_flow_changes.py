"""Flows of a live rooted session: changed by its root or a member, refused, given back at the end."""

import socket

import pytest
from tests.stack.flows import NOTHING, a_flow, rates, sending, status
from tests.stack.network import isolated
from tests.stack.people import Meanwhile, Watcher, a_leaf, a_listening_leaf, a_root, admit, code_of, invite

from multipoint import constants as c
from multipoint import wire
from multipoint.events import NetworkEvent
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.stack import Stack
from multipoint.values import Settings

HOST = wire.Endpoint("127.0.0.1", 7001)


@pytest.mark.requirement("QS-38")
@isolated
def test_end_of_the_session_gives_back_all_that_was_promised() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as stack:
        for _ in range(2):
            root, leaf = a_root(stack), a_leaf(stack)
            root.set_qos(sending(1000))
            admit(root, leaf)
            watcher = Watcher(leaf)
            root.shutdown(c.SD_SEND)
            assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == 0
            assert stack.admission.interfaces == frozenset()


@pytest.mark.requirement("QS-09", "EV-45")
@isolated
def test_change_on_a_live_session_is_told_to_all_members() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        _, member = invite(root, a_listening_leaf(stack))
        watchers = {sock: Watcher(sock, c.FD_QOS) for sock in (leaf, member)}
        root.set_qos(sending(4000))
        for sock, watcher in watchers.items():
            assert watcher.wait_for(sock, NetworkEvent.QOS) == 0
            assert rates(sock) == (-1, 4000)
            # EV-45: no repetition without a change.
            assert sock.enumerate_events() == {}
        assert rates(leg) == (4000, -1)


@pytest.mark.requirement("QS-09", "EV-45")
@isolated
def test_members_change_is_told_to_the_roots_leg() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        watcher = Watcher(leg, c.FD_QOS)
        leaf.set_qos(sending(300))
        assert watcher.wait_for(leg, NetworkEvent.QOS) == 0
        assert (rates(leaf), rates(leg)) == ((300, -1), (-1, 300))
        assert code_of(lambda: leg.set_qos(sending(1))) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("QS-09", "IO-05")
@isolated
def test_change_that_one_member_cannot_carry_is_taken_back_everywhere() -> None:
    with Stack() as stack, Stack(Settings(capacities={"lo": 5000})) as narrow:
        root, wide, small = a_root(stack), a_leaf(stack), a_leaf(narrow)
        root.set_qos(sending(4000))
        for leaf in (wide, small):
            admit(root, leaf)
        watcher = Watcher(wide, c.FD_QOS)
        assert code_of(lambda: root.set_qos(sending(6000))) == c.WSAEOPNOTSUPP
        assert rates(root) == (4000, -1)
        assert rates(small) == (-1, 4000)
        # The others hear of both changes, one after the other.
        while rates(wide) != (-1, 4000):
            assert watcher.wait_for(wide, NetworkEvent.QOS) == 0


@pytest.mark.requirement("QS-09", "QS-39", "EV-45")
@isolated
def test_refused_change_of_a_nonblocking_socket_is_told_by_an_event() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as narrow, Stack() as stack:
        root, leaf = a_root(narrow), a_leaf(stack)
        admit(root, leaf)
        leaf.set_qos(sending(500))
        watcher = Watcher(leaf, c.FD_QOS)
        leaf.set_qos(sending(1001))
        assert watcher.wait_for(leaf, NetworkEvent.QOS) == 0
        assert rates(leaf) == (500, -1)
        assert status(leaf.get_qos()) == c.WSA_QOS_ADMISSION_FAILURE
        leaf.set_qos(sending(600))
        assert (rates(leaf), status(leaf.get_qos())) == ((600, -1), None)


@pytest.mark.requirement("QS-09")
@pytest.mark.parametrize("wrong", [sending(0), QOS.of(a_flow(1, 0x99), NOTHING)], ids=["rate 0", "no service type"])
@isolated
def test_change_that_is_not_valid_is_refused_and_the_session_goes_on(wrong: QOS) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        # What no stack would send.
        with stack.lock:
            connection = leaf.peers()[0]  # type: ignore[attr-defined]
            connection.link.ask_flows(77, wrong, 0.0)
            connection.pump()
        leaf.send(b"goes on", leaf.peer_address)
        assert leg.receive()[0] == b"goes on"
        assert rates(leg) == (-1, -1)


@pytest.mark.requirement("QS-09")
@isolated
def test_member_that_goes_without_an_answer_does_not_hold_up_a_change() -> None:
    with Stack() as stack:
        root = a_root(stack)
        with socket.create_connection(root.local_address) as silent:
            join = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, HOST)
            silent.sendall(wire.encode(wire.Hello()) + wire.encode(join))
            root.accept()
            changing = Meanwhile(lambda: root.set_qos(sending(1000)))
            heard = wire.Decoder()
            while not any(isinstance(message, wire.FlowRequest) for message in heard.messages()):
                heard.feed(silent.recv(1000))
            assert changing.is_running
        changing.result()
        assert rates(root) == (1000, -1)


@pytest.mark.requirement("QS-23", "QS-09")
@isolated
def test_change_without_signalling_stays_at_home() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        root.set_qos(sending(4000, c.SERVICETYPE_CONTROLLEDLOAD | c.SERVICE_NO_QOS_SIGNALING))
        # What comes on one connection comes in order.
        leg.send(b"said later")
        assert leaf.receive()[0] == b"said later"
        assert (rates(root), rates(leaf)) == ((4000, -1), (-1, -1))
        root.set_qos(sending(5000))
        assert rates(leaf) == (-1, 5000)
