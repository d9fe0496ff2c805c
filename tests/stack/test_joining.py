"""Joining in all its ways, on real sockets."""

import os
import socket
import time

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    PATIENCE_S,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    accept_only,
    admit,
    code_of,
    invite,
    says,
    wait_till_blocked,
)

from multipoint import constants as c
from multipoint.events import NetworkEvent
from multipoint.kinds import ProviderClass
from multipoint.stack import Stack
from multipoint.values import Caller, JoinRequest, Settings, Verdict


@pytest.mark.requirement("JL-50", "JL-49", "JL-44", "AC-10", "AC-11", "AC-12", "JL-24")
@isolated
def test_leaf_asks_and_is_accepted() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        accepting = Meanwhile(root.accept)
        assert leaf.join(root.local_address) is leaf
        leg = accepting.result()
        assert leg is not root
        assert leg.peer_address == leaf.local_address
        assert leaf.peer_address == root.local_address


@pytest.mark.requirement("JL-51", "JL-44", "JL-35", "AC-11")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_root_invites_each_leaf_in_turn(provider: ProviderClass) -> None:
    with Stack() as stack:
        root = a_root(stack, provider=provider)
        leaves = [a_listening_leaf(stack, provider=provider) for _ in range(3)]
        pairs = [invite(root, leaf) for leaf in leaves]
        assert [leg.peer_address for leg, _ in pairs] == [leaf.local_address for leaf in leaves]
        assert all(leaf.is_listening for leaf in leaves)


@pytest.mark.requirement("JL-52")
@isolated
def test_both_ways_side_by_side() -> None:
    with Stack() as stack:
        root = a_root(stack)
        invite(root, a_listening_leaf(stack))
        admit(root, a_leaf(stack))
        invite(root, a_listening_leaf(stack))


@pytest.mark.requirement("AC-20", "AC-22", "JL-58", "JL-60", "JL-62", "JL-63")
@pytest.mark.parametrize("data", [b"", b"\0who's\0there\xff", bytes(range(256)) * 4], ids=["empty", "any", "limit"])
@isolated
def test_connect_data_both_ways(data: bytes) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        seen: list[Caller] = []
        heard: list[bytes] = []

        def condition(caller: Caller) -> Verdict:
            seen.append(caller)
            return Verdict(c.CF_ACCEPT, data)

        accepting = Meanwhile(lambda: root.accept(condition))
        leaf.join(root.local_address, JoinRequest(caller_data=data, capacity=1024, deliver=heard.append))
        accepting.result()
        assert heard == [data]
        assert (seen[0].data, seen[0].capacity, seen[0].address) == (data, 1024, leaf.local_address)
        assert seen[0].local == root.local_address


@pytest.mark.requirement("JL-13")
@isolated
def test_too_much_caller_data_is_refused_at_once() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        assert code_of(lambda: leaf.join(root.local_address, JoinRequest(caller_data=bytes(1025)))) == c.WSAEFAULT


@pytest.mark.requirement("AC-22", "JL-66", "JL-65")
@isolated
def test_more_callee_data_than_the_joiner_takes_refuses_him() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        heard: list[bytes] = []
        request = JoinRequest(capacity=3, deliver=heard.append)
        joining = Meanwhile(lambda: leaf.join(root.local_address, request))
        assert code_of(lambda: root.accept(says(c.CF_ACCEPT, b"four"))) == c.WSAEFAULT
        assert code_of(joining.result) == c.WSAECONNREFUSED
        assert heard == [b""]


@pytest.mark.requirement("AC-24", "JL-37", "JL-66")
@isolated
def test_rejected_leaf_asks_again_and_is_let_in() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        assert code_of(lambda: root.accept(says(c.CF_REJECT))) == c.WSAECONNREFUSED
        assert code_of(joining.result) == c.WSAECONNREFUSED
        admit(root, leaf)


@pytest.mark.requirement("AC-25", "AC-26")
@isolated
def test_deferred_leaf_waits_for_a_later_decision() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address, JoinRequest(caller_data=b"me")))
        assert code_of(lambda: root.accept(says(c.CF_DEFER))) == c.WSATRY_AGAIN
        seen: list[bytes] = []

        def condition(caller: Caller) -> Verdict:
            seen.append(caller.data)
            return Verdict()

        root.accept(condition)
        joining.result()
        assert seen == [b"me"]


@pytest.mark.requirement("AC-14")
@isolated
def test_verdict_that_is_none_leaves_the_request_waiting() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        assert code_of(lambda: root.accept(says(7))) == c.WSAEINVAL
        root.accept()
        joining.result()


@pytest.mark.requirement("AC-29", "AC-08", "AC-17", "JL-72")
@isolated
def test_calls_on_the_listener_from_its_condition_function_are_refused() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        codes: list[int] = []

        def condition(_: Caller) -> Verdict:
            codes.append(code_of(root.accept))
            codes.append(code_of(root.listen))
            codes.append(code_of(lambda: root.join(("127.0.0.1", 9))))
            a_leaf(stack).close()
            return Verdict()

        admit(root, leaf, condition)
        assert codes == [c.WSAEINPROGRESS] * 3


@pytest.mark.requirement("JL-31", "JL-25")
@isolated
def test_second_join_while_one_is_outstanding() -> None:
    with Stack() as stack:
        root, first, second = a_root(stack), a_listening_leaf(stack), a_listening_leaf(stack)
        watcher = Watcher(root)
        leg = root.join(first.local_address)
        assert code_of(lambda: root.join(second.local_address)) == c.WSAEALREADY
        assert code_of(lambda: leg.peer_address) == c.WSAENOTCONN
        first.accept()
        assert watcher.wait_for(root, NetworkEvent.CONNECT) == 0
        assert leg.peer_address == first.local_address
        root.join(second.local_address)
        second.accept()
        assert watcher.wait_for(root, NetworkEvent.CONNECT) == 0


@pytest.mark.requirement("JL-34", "JL-36", "JL-78")
@isolated
def test_joined_already() -> None:
    with Stack() as stack:
        root, leaf, listening = a_root(stack), a_leaf(stack), a_listening_leaf(stack)
        leg = admit(root, leaf)
        invite(root, listening)
        assert code_of(lambda: leaf.join(root.local_address)) == c.WSAEISCONN
        assert code_of(lambda: leg.join(root.local_address)) == c.WSAEISCONN
        assert code_of(lambda: root.join(listening.local_address)) == c.WSAEISCONN


@pytest.mark.requirement("JL-66", "JL-37", "JL-21")
@isolated
def test_join_to_nobody_is_refused_and_a_retry_works() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        assert code_of(lambda: leaf.join(("127.0.0.1", 9))) == c.WSAECONNREFUSED
        bound = leaf.local_address
        admit(root, leaf)
        assert leaf.local_address.port == bound.port


@pytest.mark.requirement("JL-43", "JL-37", "SK-39", "AC-12")
@pytest.mark.parametrize("is_conditional", [False, True])
@isolated
def test_join_that_nobody_decides_times_out_and_a_retry_works(is_conditional: bool) -> None:
    assert Settings().join_timeout_s == 30
    # Long enough for the retry on a loaded machine.
    with Stack(Settings(join_timeout_s=0.2)) as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        # Kept, and of no consequence: nobody is told "joined" before the program has accepted.
        root.options.conditional_accept = is_conditional
        assert code_of(lambda: leaf.join(root.local_address, JoinRequest(caller_data=b"first"))) == c.WSAETIMEDOUT
        accepting = Meanwhile(lambda: accept_only(root, b"second"))
        leaf.join(root.local_address, JoinRequest(caller_data=b"second"))
        accepting.result()


@pytest.mark.requirement("JL-67", "JL-37")
@isolated
def test_join_without_a_route_is_unreachable_and_a_retry_works() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        root = a_root(stack, pair.left.address)
        with pair.right, Stack() as other:
            leaf = a_leaf(other)
            assert code_of(lambda: leaf.join(("198.51.100.1", 5000))) == c.WSAENETUNREACH
            with pair.left:
                accepting = Meanwhile(root.accept)
            leaf.join(root.local_address)
            accepting.result()


@pytest.mark.requirement("JL-39", "JL-40", "AC-18")
@isolated
def test_closing_the_new_descriptor_cancels_the_invitation() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_listening_leaf(stack)
        at_root = Watcher(root)
        leg = root.join(leaf.local_address, JoinRequest(caller_data=b"first"))
        assert code_of(lambda: leaf.accept(says(c.CF_DEFER))) == c.WSATRY_AGAIN
        leg.close()
        root.join(leaf.local_address, JoinRequest(caller_data=b"second"))

        # The first may still wait here if its cancellation is on the way.
        leaf.set_blocking(True)
        accept_only(leaf, b"second")
        assert at_root.wait_for(root, NetworkEvent.CONNECT) == 0


@pytest.mark.requirement("JL-41")
@isolated
def test_closing_the_root_during_a_join_tells_the_new_descriptor() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_listening_leaf(stack)
        watcher = Watcher(root)
        leg = root.join(leaf.local_address)
        root.close()
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == c.WSAECONNABORTED
        leg.close()


@pytest.mark.requirement("AC-07", "JL-66")
@isolated
def test_full_queue_refuses_the_next() -> None:
    with Stack() as stack:
        root = a_root(stack, backlog=1)
        first, second = a_leaf(stack), a_leaf(stack)
        watcher = Watcher(root)
        joining = Meanwhile(lambda: first.join(root.local_address))
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        assert code_of(lambda: second.join(root.local_address)) == c.WSAECONNREFUSED
        root.accept()
        joining.result()


@pytest.mark.requirement("AC-13", "AC-02", "AC-14")
@isolated
def test_accept_with_nothing_there() -> None:
    with Stack() as stack:
        root = a_root(stack)
        root.set_blocking(False)
        assert code_of(root.accept) == c.WSAEWOULDBLOCK
        unbound = a_leaf(stack)
        assert code_of(unbound.listen) == c.WSAEINVAL
        assert code_of(unbound.accept) == c.WSAEINVAL


@pytest.mark.requirement("JL-10", "JL-11", "JL-18", "DI-16")
@pytest.mark.parametrize("address", [("0.0.0.0", 5), ("127.0.0.1", 0), ("239.1.1.1", 5), ("255.255.255.255", 5)])
@isolated
def test_address_that_no_host_can_have(address: tuple[str, int]) -> None:
    with Stack() as stack:
        leaf = a_leaf(stack)
        assert code_of(lambda: leaf.join(address)) == c.WSAEADDRNOTAVAIL
        assert code_of(lambda: leaf.local_address) == c.WSAEINVAL


@pytest.mark.requirement("CL-25", "JL-73")
@isolated
def test_close_in_another_thread_ends_a_blocking_join() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        watcher = Watcher(root)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
        leaf.close()
        assert code_of(joining.result) == c.WSAEINTR


@pytest.mark.requirement("JL-53", "AC-09")
@isolated
def test_leaf_of_another_class_is_refused() -> None:
    with Stack() as stack:
        root, stranger = a_root(stack), a_leaf(stack, provider=ProviderClass.CONF)
        assert code_of(lambda: stranger.join(root.local_address)) == c.WSAECONNREFUSED
        admit(root, a_leaf(stack))


@pytest.mark.requirement("IO-13")
@isolated
def test_options_set_while_a_join_waits_are_in_force_after_it() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        wait_till_blocked(leaf)
        leaf.set_scope(7)
        root.accept()
        joining.result()
        plane = leaf.data_socket()
        assert plane
        assert plane.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 7


@pytest.mark.parametrize("end", ["accepted", "rejected", "closed elsewhere"])
@isolated
def test_join_leaves_no_descriptor_behind(end: str) -> None:
    with Stack() as stack:
        root = a_root(stack)
        before = open_descriptors()
        leaf = a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        wait_till_blocked(leaf)
        if end == "accepted":
            leg = root.accept()
            joining.result()
            leg.close()
        elif end == "rejected":
            code_of(lambda: root.accept(says(c.CF_REJECT)))
            assert code_of(joining.result) == c.WSAECONNREFUSED
        if end == "closed elsewhere":
            leaf.close()
            assert code_of(joining.result) == c.WSAEINTR
        else:
            leaf.close()
        # The session's own socket stays with the root.
        stays = 1 if end == "accepted" else 0
        deadline = time.monotonic() + PATIENCE_S
        while open_descriptors() > before + stays:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counting descriptors
