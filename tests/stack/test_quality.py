"""Quality of service on real sockets: validity, admission, shaping, negotiation."""

import time
from functools import partial

import pytest
from tests.stack.network import isolated
from tests.stack.people import Meanwhile, Watcher, a_group_socket, a_leaf, a_root, admit, code_of

from multipoint import constants as c
from multipoint import ioctls
from multipoint.events import NetworkEvent
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import pack_object
from multipoint.kinds import JoinRole
from multipoint.stack import Stack
from multipoint.values import Caller, JoinRequest, Settings, Verdict
from multipoint.wire import Endpoint

GROUP = Endpoint("239.1.2.3", 5000)


def a_flow(rate: int, bucket: int = 1500, kind: int = c.SERVICETYPE_CONTROLLEDLOAD) -> QOS:
    return QOS.of(FLOWSPEC(TokenRate=rate, TokenBucketSize=bucket, ServiceType=kind), FLOWSPEC())


@pytest.mark.requirement("QS-09", "QS-10", "QS-12", "QS-14", "QS-17", "QS-33")
@isolated
def test_flows_are_set_read_and_checked() -> None:
    with Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM)
        assert code_of(partial(ioctls.control, sock, c.SIO_GET_QOS, b"")) == c.WSAEINVAL
        sock.bind(("127.0.0.1", 0))
        assert QOS.unpack(ioctls.control(sock, c.SIO_GET_QOS, b"")) == QOS()
        ioctls.control(sock, c.SIO_SET_QOS, a_flow(1000).pack())
        assert QOS.unpack(ioctls.control(sock, c.SIO_GET_QOS, b"")).SendingFlowspec.TokenRate == 1000
        assert code_of(partial(ioctls.control, sock, c.SIO_SET_QOS, a_flow(0).pack())) == c.WSA_QOS_EFLOWSPEC
        assert sock.get_qos().SendingFlowspec.TokenRate == 1000
        leaf = a_leaf(stack)
        wrong = JoinRequest(qos=a_flow(0))
        assert code_of(partial(leaf.join, ("127.0.0.1", 9), wrong)) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("QS-07", "QS-34", "QS-38", "QS-04")
@isolated
def test_interface_that_is_full_takes_no_more_promises() -> None:
    with Stack(Settings(capacities={"lo": 3000})) as stack:
        first, second = a_group_socket(stack, GROUP), a_group_socket(stack, GROUP)
        first.set_qos(a_flow(2000))
        assert code_of(lambda: second.set_qos(a_flow(2000))) == c.WSAEOPNOTSUPP
        root, leaf = a_root(stack), a_leaf(stack)
        leaf.bind(("127.0.0.1", 0))
        assert code_of(lambda: leaf.join(root.local_address, JoinRequest(qos=a_flow(2000)))) == c.WSAEOPNOTSUPP
        first.close()
        second.set_qos(a_flow(2000))
        second.close()
        # A failed join gives back what it had reserved.
        assert code_of(lambda: leaf.join(("127.0.0.1", 9), JoinRequest(qos=a_flow(3000)))) == c.WSAECONNREFUSED
        assert leaf.get_qos() == QOS()
        root.set_qos(a_flow(3000))


@pytest.mark.requirement("QS-25", "QS-28", "QS-30", "QS-37")
@isolated
def test_sending_is_shaped() -> None:
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP)
        sock.set_qos(a_flow(100_000, bucket=1000))
        start = time.monotonic()
        for _ in range(11):
            sock.send(bytes(1000))
        # The bucket is full at first; ten messages have to wait for 10 ms each.
        assert time.monotonic() - start >= 0.099
        watcher = Watcher(sock)
        assert watcher.wait_for(sock, NetworkEvent.WRITE) == 0
        assert code_of(lambda: sock.send(bytes(1000))) == c.WSAEWOULDBLOCK
        assert watcher.wait_for(sock, NetworkEvent.WRITE) == 0
        sock.send(bytes(1000))
        sock.set_qos(QOS.of(FLOWSPEC(TokenRate=1000, ServiceType=c.SERVICETYPE_GUARANTEED, MaxSduSize=100), FLOWSPEC()))
        assert code_of(lambda: sock.send(bytes(101))) == c.WSAEMSGSIZE


@pytest.mark.requirement("QS-27", "QS-30")
@isolated
def test_message_that_does_not_conform_is_discarded_where_asked() -> None:
    with Stack() as stack:
        sender, receiver = a_group_socket(stack, GROUP), a_group_socket(stack, GROUP)
        discard = pack_object(c.QOS_OBJECT_SD_MODE, c.TC_NONCONF_DISCARD.to_bytes(4, "little"))
        flow = FLOWSPEC(TokenRate=1, TokenBucketSize=5, ServiceType=c.SERVICETYPE_CONTROLLEDLOAD)
        sender.set_qos(QOS.of(flow, FLOWSPEC(), discard))
        assert (sender.send(b"first"), sender.send(b"gone!")) == (5, 5)
        receiver.send(b"last")
        assert [receiver.receive()[0], receiver.receive()[0]] == [b"first", b"last"]


@pytest.mark.requirement("QS-20", "AC-27", "QS-43", "QS-02")
@isolated
def test_acceptor_may_reduce_flows_and_gives_its_own_as_receiving_flow() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        root.set_qos(a_flow(7000))

        def reduce(caller: Caller) -> Verdict:
            assert caller.qos
            caller.qos.SendingFlowspec.TokenRate = 500
            return Verdict(qos=caller.qos)

        def increase(caller: Caller) -> Verdict:
            assert caller.qos
            caller.qos.SendingFlowspec.TokenRate = 5000
            return Verdict(qos=caller.qos)

        joining = Meanwhile(lambda: leaf.join(root.local_address, JoinRequest(qos=a_flow(1000))))
        assert code_of(lambda: root.accept(increase)) == c.WSAEINVAL
        root.accept(reduce)
        joining.result()
        granted = leaf.get_qos()
        assert (granted.SendingFlowspec.TokenRate, granted.ReceivingFlowspec.TokenRate) == (500, 7000)


@pytest.mark.requirement("QS-05")
@isolated
def test_flow_of_a_direction_that_is_not_used_is_ignored() -> None:
    with Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0x14)
        sock.options.interface = 1
        sock.join(GROUP, JoinRequest(JoinRole.RECEIVER_ONLY, qos=a_flow(0)))


@isolated
def test_leaf_without_flows_of_its_own_gets_the_roots() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        root.set_qos(a_flow(7000))
        admit(root, leaf)
        assert leaf.get_qos().ReceivingFlowspec.TokenRate == 7000
