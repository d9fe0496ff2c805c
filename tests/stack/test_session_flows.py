"""Flows of rooted sessions, negotiated at the join. What comes later is in ``test_flow_changes``."""

import socket
from collections.abc import Callable

import pytest
from tests.stack.flows import NOTHING, a_flow, rates, sending
from tests.stack.network import isolated
from tests.stack.people import Meanwhile, Watcher, a_leaf, a_listening_leaf, a_root, admit, code_of

from multipoint import constants as c
from multipoint import wire
from multipoint.events import NetworkEvent
from multipoint.flow import FLOWSPEC, QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Caller, Condition, JoinRequest, Settings, Verdict

HOST = wire.Endpoint("127.0.0.1", 7001)
ROOTED = (ProviderClass.P2MP, ProviderClass.CONF)


def asked(root: MultipointSocket, leaf: MultipointSocket, qos: QOS | None, condition: Condition | None = None) -> None:
    """Let the leaf ask with these flows, and the root accept."""
    accepting = Meanwhile(lambda: root.accept(condition))
    leaf.join(root.local_address, JoinRequest(qos=qos))
    accepting.result()


def invited(root: MultipointSocket, leaf: MultipointSocket, qos: QOS | None = None) -> MultipointSocket:
    """Let the root invite the leaf with these flows; return the member."""
    accepting = Meanwhile(leaf.accept)
    root.join(leaf.local_address, JoinRequest(qos=qos))
    return accepting.result()


def granting(change: Callable[[QOS], None]) -> Condition:
    """Return a condition function that changes the flows asked for."""

    def condition(caller: Caller) -> Verdict:
        assert caller.qos
        change(caller.qos)
        return Verdict(qos=caller.qos)

    return condition


@pytest.mark.requirement("QS-43", "QS-35", "QS-02")
@pytest.mark.parametrize("provider", ROOTED)
@isolated
def test_members_receive_what_the_root_sends_and_later_joins_change_nothing(provider: ProviderClass) -> None:
    with Stack() as stack:
        root = a_root(stack, provider=provider)
        member = invited(root, listening(stack, provider), sending(7000))
        assert (rates(root), rates(member)) == ((7000, -1), (-1, 7000))
        # Not even looked at: these flows are wrong.
        later = invited(root, listening(stack, provider), sending(0))
        assert (rates(root), rates(later)) == ((7000, -1), (-1, 7000))
        leaf = a_leaf(stack, provider=provider)
        asked(root, leaf, QOS.of(a_flow(10), a_flow(1)))
        assert rates(leaf) == (10, 7000)


@pytest.mark.requirement("QS-18", "QS-43")
@isolated
def test_what_a_receiving_flow_leaves_open_is_the_senders_to_say() -> None:
    open_flow = FLOWSPEC(ServiceType=c.SERVICETYPE_CONTROLLEDLOAD)
    with Stack() as stack:
        root, silent = a_root(stack), a_root(stack)
        root.set_qos(sending(7000, MaxSduSize=900))
        for asked_root, expected in ((root, a_flow(7000, MaxSduSize=900)), (silent, open_flow)):
            leaf = a_leaf(stack)
            asked(asked_root, leaf, QOS.of(a_flow(10), open_flow))
            assert leaf.get_qos() == QOS.of(a_flow(10), expected)


def listening(stack: Stack, provider: ProviderClass) -> MultipointSocket:
    """Return a c_leaf that waits for invitations."""
    leaf = a_leaf(stack, provider=provider)
    leaf.bind(("127.0.0.1", 0))
    leaf.listen()
    return leaf


@pytest.mark.requirement("QS-35", "QS-03")
@isolated
def test_flows_set_before_the_first_join_are_the_sessions() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        root.set_qos(sending(7000))
        admit(root, leaf)
        member = invited(root, a_listening_leaf(stack))
        assert rates(leaf) == rates(member) == (-1, 7000)


@pytest.mark.requirement("AC-20", "AC-27", "QS-20")
@isolated
def test_acceptor_sees_the_joiners_flows_as_they_are_and_reduces_them() -> None:
    seen: list[QOS] = []

    def reduce(qos: QOS) -> None:
        seen.append(QOS.unpack(qos.pack()))
        qos.SendingFlowspec.TokenRate = 600
        qos.ReceivingFlowspec.ServiceType = c.SERVICETYPE_BESTEFFORT

    with Stack() as stack:
        root, leaf = a_root(stack), a_listening_leaf(stack)
        accepting = Meanwhile(lambda: leaf.accept(granting(reduce)))
        watcher = Watcher(root)
        offered = QOS.of(a_flow(1000), a_flow(300))
        leg = root.join(leaf.local_address, JoinRequest(qos=offered))
        member = accepting.result()
        assert watcher.wait_for(root, NetworkEvent.CONNECT) == 0
        assert seen == [offered]
        assert (rates(root), rates(member)) == ((600, 300), (300, 600))
        assert root.get_qos().ReceivingFlowspec.ServiceType == c.SERVICETYPE_BESTEFFORT
        assert leg.get_qos().SendingFlowspec.TokenRate == 600


@pytest.mark.requirement("QS-20")
@pytest.mark.parametrize(
    "change",
    [{"TokenRate": 1001}, {"ServiceType": c.SERVICETYPE_GUARANTEED}, {"TokenRate": 0}, {"ServiceType": 0x99}],
    ids=str,
)
@isolated
def test_acceptor_may_not_raise_nor_spoil_the_flows(change: dict[str, int]) -> None:
    def spoil(qos: QOS) -> None:
        for name, value in change.items():
            setattr(qos.SendingFlowspec, name, value)

    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address, JoinRequest(qos=sending(1000))))
        assert code_of(lambda: root.accept(granting(spoil))) == c.WSAEINVAL
        root.accept()
        joining.result()
        assert rates(leaf) == (1000, -1)


@pytest.mark.requirement("AC-20")
@isolated
def test_without_flows_nothing_is_negotiated() -> None:
    seen: list[QOS | None] = []

    def note(caller: Caller) -> Verdict:
        seen.append(caller.qos)
        return Verdict(qos=sending(1))

    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        asked(root, leaf, None, note)
        assert (seen, leaf.get_qos()) == ([None], QOS())


@pytest.mark.requirement("QS-23")
@isolated
def test_flow_without_signalling_is_no_business_of_the_peer() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        service = c.SERVICETYPE_CONTROLLEDLOAD | c.SERVICE_NO_QOS_SIGNALING
        asked(root, leaf, sending(1000, service), lambda caller: Verdict(c.CF_ACCEPT if caller.qos is None else 1))
        assert rates(leaf) == (1000, -1)


@pytest.mark.requirement("QS-36", "QS-07", "QS-05", "JL-70", "JL-80")
@isolated
def test_leaf_that_cannot_carry_the_session_stays_outside() -> None:
    with Stack() as stack, Stack(Settings(capacities={"lo": 6999})) as narrow:
        root = a_root(stack)
        member = invited(root, a_listening_leaf(stack), sending(7000))
        outsider = a_listening_leaf(narrow)
        accepting = Meanwhile(lambda: code_of(outsider.accept))
        assert code_of(lambda: root.join(outsider.local_address)) == c.WSAEOPNOTSUPP
        assert accepting.result() == c.WSAEOPNOTSUPP
        asking, watcher = a_leaf(narrow), Watcher(root, c.FD_ACCEPT)
        assert code_of(lambda: asking.join(root.local_address)) == c.WSAEOPNOTSUPP
        assert asking.get_qos() == QOS()
        # The root's program has not even seen the request; the control is one that can be carried.
        assert code_of(root.accept) == c.WSAEWOULDBLOCK
        assert root.enumerate_events() == {}
        sender = a_leaf(narrow)
        joining = Meanwhile(lambda: sender.join(root.local_address, JoinRequest(JoinRole.SENDER_ONLY)))
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        root.accept()
        joining.result()
        # The others are untouched.
        root.send(b"still here")
        assert member.receive()[0] == b"still here"


@pytest.mark.requirement("QS-36")
@isolated
def test_later_leaf_may_not_reduce_the_sessions_flow() -> None:
    def reduce(qos: QOS) -> None:
        qos.SendingFlowspec.TokenRate = 1

    with Stack() as stack:
        root = a_root(stack)
        invited(root, a_listening_leaf(stack), sending(7000))
        leaf = a_listening_leaf(stack)
        accepting = Meanwhile(lambda: leaf.accept(granting(reduce)))
        assert code_of(lambda: root.join(leaf.local_address)) == c.WSAEOPNOTSUPP
        accepting.result()
        assert rates(root) == (7000, -1)


@pytest.mark.requirement("QS-34", "QS-07")
@isolated
def test_root_that_cannot_receive_what_a_leaf_wants_to_send_refuses_it() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as narrow, Stack() as stack:
        root, leaf = a_root(narrow), a_leaf(stack)
        accepting = Meanwhile(lambda: code_of(root.accept))
        assert code_of(lambda: leaf.join(root.local_address, JoinRequest(qos=sending(1001)))) == c.WSAEOPNOTSUPP
        assert accepting.result() == c.WSAEOPNOTSUPP
        for _ in range(2):
            member = a_leaf(stack)
            asked(root, member, sending(1000))
            # QS-38: at the end of the membership the root can receive from another.
            watcher = Watcher(leg_of(root))
            member.close()
            assert watcher.wait_for(leg_of(root), NetworkEvent.CLOSE) == 0
            leg_of(root).close()


def leg_of(root: MultipointSocket) -> MultipointSocket:
    """Return the newest leg of a root."""
    return [sock for sock in root.stack.sockets if getattr(sock, "root", None) is root][-1]


@pytest.mark.requirement("QS-41", "QS-36")
@isolated
def test_way_to_a_later_leaf_must_be_as_fast_as_the_session_asks() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        root.set_qos(sending(1, c.SERVICETYPE_GUARANTEED, Latency=0))
        accepting = Meanwhile(lambda: code_of(root.accept))
        assert code_of(lambda: leaf.join(root.local_address)) == c.WSAEOPNOTSUPP
        assert accepting.result() == c.WSAEOPNOTSUPP


MEMBERSHIP = wire.Membership(7, 1, wire.Endpoint("239.255.0.1", 7000), HOST, bytes(32), bytes(32), 2500, 10_000)


@pytest.mark.requirement("QS-20", "JL-76", "QS-36")
@pytest.mark.parametrize(
    "granted",
    [
        pytest.param(sending(101), id="more than was asked"),
        pytest.param(QOS.of(a_flow(100), a_flow(1, 0x99)), id="no service type"),
        pytest.param(QOS.of(a_flow(100), NOTHING, b"objects"), id="broken objects"),
    ],
)
@isolated
def test_root_that_grants_what_it_may_not_is_no_root(granted: QOS) -> None:
    with Stack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        leaf = a_leaf(stack)
        request = JoinRequest(qos=sending(100))
        joining = Meanwhile(lambda: code_of(lambda: leaf.join(server.getsockname(), request)))
        root, _ = server.accept()
        with root:
            said = (wire.Hello(), wire.Accept(Plane.ROOT, Plane.ROOT, None, b"", granted), wire.Confirm(MEMBERSHIP))
            root.sendall(b"".join(wire.encode(message) for message in said))
            assert joining.result() == c.WSAECONNREFUSED
        assert leaf.get_qos() == QOS()


WRONG = [sending(0), QOS.of(a_flow(1, 0x99), NOTHING), QOS.of(a_flow(1), NOTHING, b"objects")]


@pytest.mark.requirement("QS-20", "JL-53")
@pytest.mark.parametrize("wrong", WRONG, ids=["rate 0", "no service type", "broken objects"])
@pytest.mark.parametrize("listens", ["root", "leaf"])
@isolated
def test_request_with_flows_that_are_not_valid_reaches_no_program(listens: str, wrong: QOS) -> None:
    with Stack() as stack:
        listener = a_root(stack) if listens == "root" else a_listening_leaf(stack)
        join = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, HOST, 0, b"", wrong)
        invite = wire.Invite(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT, JoinRole.BOTH, 7, 0, b"", wrong)
        with socket.create_connection(listener.local_address) as stranger:
            stranger.sendall(wire.encode(wire.Hello()) + wire.encode(join if listens == "root" else invite))
            decoder, heard = wire.Decoder(), list[wire.Message]()
            while wire.Reject(c.WSAECONNREFUSED) not in heard:
                decoder.feed(stranger.recv(1000))
                heard += decoder.messages()
        listener.set_blocking(False)
        assert code_of(listener.accept) == c.WSAEWOULDBLOCK


@pytest.mark.requirement("QS-04", "QS-38")
@isolated
def test_cancelled_invitation_leaves_the_earlier_flows() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as stack:
        root, leaf = a_root(stack), a_listening_leaf(stack)
        root.set_qos(sending(400))
        root.set_blocking(False)
        leg = root.join(leaf.local_address, JoinRequest(qos=sending(1000)))
        leg.close()
        assert rates(root) == (400, -1)
        other = stack.socket(c.AF_INET, c.SOCK_DGRAM)
        other.bind(("127.0.0.1", 0))
        other.set_qos(sending(600))


@pytest.mark.requirement("QS-38")
@isolated
def test_session_that_has_ended_holds_no_capacity_whatever_is_set() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        watcher = Watcher(leaf)
        root.shutdown(c.SD_BOTH)
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == 0
        for ended in (root, leaf):
            ended.set_qos(sending(1000))
        other = a_leaf(stack)
        other.bind(("127.0.0.1", 0))
        other.set_qos(sending(1000))
