"""What the interfaces can do, asked of the kernel; what a change of it means for promises; real packets, shaped."""

import socket
import subprocess
import time
from functools import partial
from itertools import pairwise

import pytest
from tests.stack.flows import NOTHING, a_flow, sending, status
from tests.stack.network import Pair, isolated
from tests.stack.people import HERE, LEAF, PATIENCE_S, Meanwhile, Watcher, a_group_socket, code_of

from multipoint import constants as c
from multipoint import ioctls
from multipoint.admission import Ability
from multipoint.events import NetworkEvent
from multipoint.flow import QOS
from multipoint.flow_rules import pack_object
from multipoint.interfaces import Interfaces
from multipoint.kinds import JoinRole
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Settings
from multipoint.wire import Endpoint

GROUP = Endpoint("239.1.2.3", 5000)
# 8 Mbit/s
TBF = ("tbf", "rate", "8mbit", "burst", "3000", "latency", "50ms")


def tc(*words: str) -> None:
    """Change queueing disciplines of this namespace."""
    subprocess.run(("tc", "qdisc", *words), check=True, capture_output=True)


def a_bound(stack: Stack, address: str = HERE) -> MultipointSocket:
    """Return a datagram socket bound to the interface with this address."""
    sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
    sock.bind((address, 0))
    return sock


@pytest.mark.requirement("QS-34", "QS-41")
@isolated
def test_capacity_is_what_is_configured_else_the_queues_else_the_links() -> None:
    pair = Pair()
    with pair.left:
        index = socket.if_nametoindex("eth0")
        speed = Interfaces(Settings()).look(index).sending
        tc("add", "dev", "eth0", "root", *TBF)
        queued = Interfaces(Settings()).look(index)
        told = Interfaces(Settings(capacities={"eth0": 5}, delays_us={"eth0": 7})).look(index)
        loopback = Interfaces(Settings()).look(1)
    # A queueing discipline shapes what goes out; what comes in is bound by the link alone.
    assert queued == Ability(1_000_000, speed)
    # Linux' veth calls itself a link of 10 Gbit/s.
    assert speed == 10_000_000_000 // 8
    assert told == Ability(5, 5, 7)
    assert loopback == Ability()
    with pair.right:
        assert Interfaces(Settings()).look(99).is_up is False


@pytest.mark.requirement("QS-34")
@isolated
def test_link_without_a_known_speed_has_no_limit() -> None:
    # A bridge without ports says that it does not know.
    subprocess.run(("ip", "link", "add", "br0", "type", "bridge"), check=True)
    ability = Interfaces(Settings()).look(socket.if_nametoindex("br0"))
    assert (ability.sending, ability.receiving) == (None, None)


@pytest.mark.requirement("QS-34", "QS-39")
@isolated
def test_capacity_that_was_told_is_forgotten_again() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as stack:
        sock = a_bound(stack)
        assert code_of(lambda: sock.set_qos(sending(1001))) == c.WSAEOPNOTSUPP
        stack.set_capacity("lo", None)
        sock.set_qos(sending(1001))


@pytest.mark.requirement("QS-34", "QS-39")
@isolated
def test_capacity_is_set_for_interfaces_that_there_are() -> None:
    with Stack() as stack:
        assert code_of(lambda: stack.set_capacity("nowhere", 1)) == c.WSAEADDRNOTAVAIL
        # The system's choice has no name.
        stack.set_capacity("", 1000)
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
        assert code_of(lambda: sock.set_qos(sending(1001))) == c.WSAEOPNOTSUPP
        sock.set_qos(sending(1000))


@pytest.mark.requirement("QS-34")
@isolated
def test_flow_is_admitted_against_the_queue_of_the_interface() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        tc("add", "dev", "eth0", "root", *TBF)
        sock = a_bound(stack, pair.left.address)
        assert code_of(lambda: sock.set_qos(sending(1_000_001))) == c.WSAEOPNOTSUPP
        sock.set_qos(sending(1_000_000))


@pytest.mark.requirement("QS-39", "EV-45")
@isolated
def test_promise_that_cannot_be_kept_is_told_with_what_is_possible() -> None:
    with Stack(Settings(capacities={"lo": 1000})) as stack:
        first, second, third = (a_bound(stack) for _ in range(3))
        for sock, rate in ((first, 600), (second, 300), (third, 100)):
            sock.set_qos(sending(rate))
        watcher = Watcher(second, c.FD_QOS)
        stack.set_capacity("lo", 800)
        assert watcher.wait_for(second, NetworkEvent.QOS) == 0
        now = second.get_qos()
        assert (now.SendingFlowspec.TokenRate, status(now)) == (100, c.WSA_QOS_ADMISSION_FAILURE)
        # Who can be served as promised is not bothered, nor is anybody twice.
        assert [sock.get_qos() for sock in (first, third)] == [sending(600), sending(100)]
        stack.set_capacity("lo", 800)
        assert second.enumerate_events() == {}
        stack.set_capacity("lo", 700)
        assert watcher.wait_for(second, NetworkEvent.QOS) == 0
        assert second.get_qos().SendingFlowspec.ServiceType == c.SERVICETYPE_BESTEFFORT
        stack.set_capacity("lo", 1000)
        assert watcher.wait_for(second, NetworkEvent.QOS) == 0
        assert second.get_qos() == sending(300)


@pytest.mark.requirement("QS-39", "QS-34")
@pytest.mark.parametrize("how", ["bind", "IP_MULTICAST_IF"])
@isolated
def test_promise_goes_with_the_socket_to_another_interface(how: str) -> None:
    with Stack(Settings(capacities={"lo": 1000})) as stack:
        sock, other = (stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF) for _ in range(2))
        # Of the system's choice anything can be promised.
        sock.set_qos(sending(5000))
        watcher = Watcher(sock, c.FD_QOS)
        if how == "bind":
            sock.bind((HERE, 0))
        else:
            sock.set_interface(1)
        assert watcher.wait_for(sock, NetworkEvent.QOS) == 0
        assert sock.quality.in_force.SendingFlowspec.TokenRate == 1000  # type: ignore[attr-defined]
        other.bind((HERE, 0))
        assert code_of(lambda: other.set_qos(sending(1))) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("QS-39", "EV-45", "EV-32")
@isolated
def test_kernel_tells_of_a_slower_queue_and_of_a_link_that_fails() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        sock = a_bound(stack, pair.left.address)
        sock.set_qos(sending(1_500_000))
        watcher = Watcher(sock, c.FD_QOS)
        tc("add", "dev", "eth0", "root", *TBF)
        assert watcher.wait_for(sock, NetworkEvent.QOS) == 0
        now = sock.get_qos()
        assert (now.SendingFlowspec.TokenRate, status(now)) == (1_000_000, c.WSA_QOS_ADMISSION_FAILURE)
        tc("del", "dev", "eth0", "root")
        assert watcher.wait_for(sock, NetworkEvent.QOS) == 0
        assert sock.get_qos() == sending(1_500_000)
        subprocess.run(("ip", "link", "set", "eth0", "down"), check=True)
        while status(sock.get_qos()) != c.WSA_QOS_TRAFFIC_CTRL_ERROR:
            assert watcher.wait_for(sock, NetworkEvent.QOS) == 0
        assert sock.get_qos().SendingFlowspec.ServiceType == c.SERVICETYPE_BESTEFFORT


@pytest.mark.requirement("QS-25", "QS-28", "QS-30", "QS-40")
@isolated
def test_packets_on_the_link_keep_to_the_bucket() -> None:
    rate, depth, size, count = 200_000, 2000, 1000, 60
    pair = Pair()
    arrivals: list[float] = []
    with pair.right:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((pair.right.address, 0))
        receiver.settimeout(PATIENCE_S)
        # The kernel's own time of arrival: how busy this process is does not matter.
        receiver.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    with pair.left, Stack() as stack:
        sock = a_bound(stack, pair.left.address)
        sock.set_qos(sending(rate, TokenBucketSize=depth))
        target = receiver.getsockname()
        started = time.monotonic()
        sent = Meanwhile(lambda: [sock.send(bytes(size), target) for _ in range(count)])
        for _ in range(count):
            data, controls, _, _ = receiver.recvmsg(size, 100)
            assert len(data) == size
            stamp = controls[0][2]
            arrivals.append(int.from_bytes(stamp[:8], "little") + int.from_bytes(stamp[8:16], "little") / 1e9)
        assert sent.result() == [size] * count
        took = time.monotonic() - started
    # What left in all: the bucket, and what came since.
    assert count * size <= rate * took + depth
    # In any window of arrivals; a message more, for a sender that was interrupted with one in its hands, and what the
    # kernel may have let lie for a twentieth of a second.
    for first in range(count):
        for last in range(first, count):
            bytes_between = (last - first + 1) * size
            assert bytes_between <= rate * (arrivals[last] - arrivals[first]) + depth + size + 0.05 * rate


@pytest.mark.requirement("QS-30", "IO-18")
@isolated
def test_message_held_back_can_be_flushed() -> None:
    with Stack() as stack:
        sender, receiver = a_group_socket(stack, GROUP), a_group_socket(stack, GROUP)
        sender.set_qos(sending(1, TokenBucketSize=5))
        assert sender.send(b"first") == 5
        held = Meanwhile(lambda: sender.send(b"never"))
        # It is held as soon as it waits, and a flush before that does nothing: so until it has gone.
        while held.is_running:
            ioctls.control(sender, c.SIO_FLUSH, b"")
        assert held.result() == 5
        receiver.send(b"last")
        assert [receiver.receive()[0] for _ in range(2)] == [b"first", b"last"]


@pytest.mark.requirement("QS-30", "CL-25")
@isolated
def test_message_held_back_ends_with_its_socket_or_its_time() -> None:
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP)
        sock.set_qos(sending(1, TokenBucketSize=5))
        sock.send(b"first")
        # SK-17: a time limit counts only on a socket with WSA_FLAG_OVERLAPPED.
        sock.is_overlapped = True
        sock.options.send_timeout_s = 0.01
        assert code_of(lambda: sock.send(b"never")) == c.WSAETIMEDOUT
        sock.options.send_timeout_s = None
        held = Meanwhile(lambda: code_of(lambda: sock.send(b"never")))
        sock.close()
        assert held.result() in (c.WSAEINTR, c.WSAENOTSOCK)


@pytest.mark.requirement("SK-17", "QS-30")
@pytest.mark.parametrize(("is_overlapped", "rate"), [(False, 1000), (True, 1)])
@isolated
def test_time_limit_of_a_send_counts_on_overlapped_sockets_only(is_overlapped: bool, rate: int) -> None:
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP)
        sock.is_overlapped = is_overlapped
        # The second message waits for a tenth of a second, ten times the limit; where it shall not go, for minutes.
        sock.set_qos(sending(rate, TokenBucketSize=100))
        sock.options.send_timeout_s = 0.01
        assert sock.send(bytes(100)) == 100
        if is_overlapped:
            assert code_of(lambda: sock.send(bytes(100))) == c.WSAETIMEDOUT
        else:
            assert sock.send(bytes(100)) == 100


@pytest.mark.requirement("QS-37")
@isolated
def test_message_longer_than_the_flow_allows_is_refused_in_every_mode() -> None:
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        for service in (c.SERVICETYPE_BESTEFFORT, c.SERVICETYPE_CONTROLLEDLOAD, c.SERVICETYPE_GUARANTEED):
            sock.set_qos(sending(100_000, service, MaxSduSize=100))
            assert code_of(lambda: sock.send(bytes(101))) == c.WSAEMSGSIZE
            assert sock.send(bytes(100)) == 100


@pytest.mark.requirement("QS-29", "QS-30", "QS-27")
@isolated
def test_shaping_rate_takes_the_place_of_the_token_rate() -> None:
    slow = pack_object(c.QOS_OBJECT_SHAPING_RATE, (1).to_bytes(4, "little"))
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        sock.set_qos(QOS.of(a_flow(10**9, TokenBucketSize=1000), NOTHING, slow))
        sock.set_blocking(False)
        sock.send(bytes(1000))
        assert code_of(lambda: sock.send(bytes(1000))) == c.WSAEWOULDBLOCK


@pytest.mark.requirement("QS-23")
@isolated
def test_without_traffic_control_nothing_is_held_back() -> None:
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        sock.set_qos(sending(1, c.SERVICETYPE_CONTROLLEDLOAD | c.SERVICE_NO_TRAFFIC_CONTROL, TokenBucketSize=1))
        sock.set_blocking(False)
        assert [sock.send(bytes(1000)) for _ in range(10)] == [1000] * 10


@pytest.mark.requirement("QS-24", "QS-27")
@isolated
def test_packets_of_the_better_service_overtake_others_on_the_host() -> None:
    pair = Pair()
    with pair.right:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((pair.right.address, 0))
        receiver.settimeout(PATIENCE_S)
    with pair.left, Stack() as stack:
        # A queue with the kernel's usual three bands, behind a link of 80 kbit/s on which all of them wait.
        tc("add", "dev", "eth0", "root", "handle", "1:", "tbf", "rate", "80kbit", "burst", "1600", "limit", "100000")
        tc("add", "dev", "eth0", "parent", "1:1", "handle", "2:", "pfifo_fast")
        borrow = pack_object(c.QOS_OBJECT_SD_MODE, c.TC_NONCONF_BORROW.to_bytes(4, "little"))
        flows = {
            b"plug": None,
            b"nonconforming": QOS.of(a_flow(1, c.SERVICETYPE_BESTEFFORT, TokenBucketSize=1), NOTHING, borrow),
            b"qualitative": sending(100_000, c.SERVICETYPE_QUALITATIVE),
            b"best effort": sending(100_000, c.SERVICETYPE_BESTEFFORT),
            b"controlled": sending(100_000),
            b"guaranteed": sending(100_000, c.SERVICETYPE_GUARANTEED),
            b"network": sending(100_000, c.SERVICETYPE_NETWORK_CONTROL),
        }
        stack.set_capacity("eth0", 10**9)
        senders = {name: a_bound(stack, pair.left.address) for name in flows}
        for name, sock in senders.items():
            if flow := flows[name]:
                sock.set_qos(flow)
        for name, sock in senders.items():
            for _ in range(2 if name == b"plug" else 1):
                sock.send(name.ljust(700), receiver.getsockname())
        came = [receiver.recv(1000).strip() for _ in range(len(flows) + 1)]
    place = {name: came.index(name) for name in flows}
    bands = ((b"network", b"guaranteed"), (b"controlled", b"best effort"), (b"qualitative", b"nonconforming"))
    for better, worse in pairwise(bands):
        assert max(place[name] for name in better) < min(place[name] for name in worse), came


@pytest.mark.requirement("QS-24")
@isolated
def test_each_service_has_a_priority_of_its_own_in_the_documented_order() -> None:
    order = (
        *(c.SERVICETYPE_NETWORK_CONTROL, c.SERVICETYPE_GUARANTEED, c.SERVICETYPE_CONTROLLEDLOAD),
        *(c.SERVICETYPE_BESTEFFORT, c.SERVICETYPE_QUALITATIVE),
    )
    # linux/pkt_sched.h: TC_PRIO_CONTROL, INTERACTIVE, INTERACTIVE_BULK, BESTEFFORT, BULK
    expected = (7, 6, 4, 0, 2)
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        kernel = sock.data_socket()
        assert kernel
        for service, priority in zip(order, expected, strict=True):
            sock.set_qos(sending(100_000, service))
            sock.send(b"hello")
            assert kernel.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == priority


@pytest.mark.requirement("QS-30")
@isolated
def test_nonblocking_sender_is_told_when_tokens_are_there() -> None:
    with Stack() as stack:
        sock = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        sock.set_qos(sending(20_000, TokenBucketSize=1000))
        watcher = Watcher(sock)
        assert watcher.wait_for(sock, NetworkEvent.WRITE) == 0
        sock.send(bytes(1000))
        assert code_of(partial(sock.send, bytes(1000))) == c.WSAEWOULDBLOCK
        assert watcher.wait_for(sock, NetworkEvent.WRITE) == 0
        assert sock.send(bytes(1000)) == 1000
