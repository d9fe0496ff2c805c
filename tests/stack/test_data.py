"""Data planes: who hears whom, on real sockets."""

import socket
from functools import partial

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    Meanwhile,
    Watcher,
    a_group_socket,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    code_or_none,
    invite,
)

from multipoint import constants as c
from multipoint.errors import MultipointError
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest, Settings
from multipoint.wire import Endpoint

GROUP = Endpoint("239.1.2.3", 5000)


def is_silent(sock: MultipointSocket) -> bool:
    """Tell whether nothing is there; ask only after something that came later has arrived elsewhere."""
    sock.set_blocking(False)
    return code_or_none(sock.receive) == c.WSAEWOULDBLOCK


@pytest.mark.requirement("DP-20", "DP-21", "DP-22", "DP-16", "DP-11", "DP-33")
@isolated
def test_rooted_data_goes_from_root_to_all_and_from_leaf_to_root() -> None:
    with Stack() as stack:
        root, leaves = a_root(stack), [a_leaf(stack) for _ in range(3)]
        legs = [admit(root, leaf) for leaf in leaves]
        for message in (b"one", b"", b"x" * 1400):
            assert root.send(message) == len(message)
            assert [leaf.receive()[0] for leaf in leaves] == [message] * 3
        for leaf in leaves:
            leaf.send(b"to root")
            assert root.receive() == (b"to root", leaf.local_address)
        assert all(is_silent(sock) for sock in (*leaves, *legs))


@pytest.mark.requirement("AC-31", "JL-52", "DP-26")
@isolated
def test_invited_and_asking_leaves_are_alike() -> None:
    with Stack() as stack:
        root, asking = a_root(stack), a_leaf(stack)
        admit(root, asking)
        _, member = invite(root, a_listening_leaf(stack))
        watcher = Watcher(member)
        assert watcher.wait_for(member, NetworkEvent.WRITE) == 0
        root.send(b"hello")
        assert watcher.wait_for(member, NetworkEvent.READ) == 0
        assert member.receive()[0] == asking.receive()[0] == b"hello"


@pytest.mark.requirement("DP-23", "DP-25")
@isolated
def test_stranger_on_the_group_reaches_no_program() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        root.send(b"first")
        assert leaf.receive()[0] == b"first"
        membership = leaf._core.membership  # type: ignore[attr-defined]  # what a stranger would have to know
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            stranger.sendto(b"noise", membership.group)
            stranger.sendto(b"\xd1" + bytes(60), membership.group)
        root.send(b"second")
        assert leaf.receive()[0] == b"second"
        assert is_silent(leaf)
        assert (stack.counters.no_datagram, stack.counters.stranger) == (1, 1)


@pytest.mark.requirement("DP-24", "DP-25", "DP-16")
@isolated
def test_conference_data_reaches_all_participants() -> None:
    with Stack() as stack:
        root = a_root(stack, provider=ProviderClass.CONF)
        leaves = [a_leaf(stack, provider=ProviderClass.CONF) for _ in range(2)]
        for leaf in leaves:
            admit(root, leaf)
        for sender in (root, *leaves):
            sender.send(b"to all")
            assert [sock.receive()[0] for sock in (root, *leaves)] == [b"to all"] * 3


@pytest.mark.requirement("DP-01", "DP-02", "DP-03", "SK-31", "JL-49")
@isolated
def test_any_source_group_each_hears_all() -> None:
    with Stack() as stack:
        sockets = [a_group_socket(stack, GROUP) for _ in range(3)]
        for sender in sockets:
            sender.send(b"hello")
            assert [sock.receive()[0] for sock in sockets] == [b"hello"] * 3
        stranger = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP)
        stranger.bind(("127.0.0.1", 0))
        stranger.send(b"to one", ("127.0.0.1", GROUP.port))
        assert sockets[0].peer_address == GROUP


@pytest.mark.requirement("DP-04")
@isolated
def test_other_sockets_groups_are_not_heard() -> None:
    with Stack() as stack:
        mine, other = a_group_socket(stack, GROUP), a_group_socket(stack, Endpoint("239.1.2.4", GROUP.port))
        other.send(b"other")
        assert other.receive()[0] == b"other"
        assert is_silent(mine)


@pytest.mark.requirement("IO-09", "IO-11", "D-48")
@isolated
def test_loopback_acts_on_the_receiver() -> None:
    # On a link: what goes over the loopback interface is not looped back, it arrives.
    pair = Pair()
    with pair.left, Stack() as stack, pair.right, Stack() as far:
        with pair.left:
            on, off = a_group_socket(stack, GROUP, interface=0), a_group_socket(stack, GROUP, interface=0)
        off.set_loopback(False)
        for sender in (off, on):
            sender.send(b"from here")
            assert on.receive()[0] == b"from here"
            assert is_silent(off)
        off.set_blocking(True)
        far_sender = a_group_socket(far, GROUP, interface=0)
        far_sender.send(b"from far")
        assert off.receive()[0] == on.receive()[0] == b"from far"
        off.set_loopback(True)
        on.send(b"again")
        assert off.receive()[0] == b"again"


@pytest.mark.requirement("IO-09", "IO-10")
@isolated
def test_loopback_in_a_conference_acts_on_each_receiver() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        root = a_root(stack, pair.left.address, provider=ProviderClass.CONF)
        on, off = (a_leaf(stack, provider=ProviderClass.CONF) for _ in range(2))
        for leaf in (on, off):
            leaf.bind((pair.left.address, 0))
        # Before one joins, while the other is a member.
        off.set_loopback(False)
        for leaf in (on, off):
            admit(root, leaf)
        root.set_loopback(False)
        for sender in (root, on, off):
            sender.send(b"from here")
            assert on.receive()[0] == b"from here"
            assert is_silent(root)
            assert is_silent(off)
        with pair.right, Stack() as far:
            guest = a_leaf(far, provider=ProviderClass.CONF)
            root.set_blocking(True)
            off.set_blocking(True)
            with pair.left:
                accepting = Meanwhile(root.accept)
            guest.join(root.local_address)
            accepting.result()
            guest.send(b"from far")
            assert [sock.receive()[0] for sock in (root, on, off)] == [b"from far"] * 3
            off.set_loopback(True)
            root.send(b"again")
            assert [sock.receive()[0] for sock in (on, off)] == [b"again"] * 2
            assert is_silent(root)


@pytest.mark.requirement("DP-13", "DP-14", "JL-54", "JL-05")
@isolated
def test_roles_bind_both_ways() -> None:
    with Stack() as stack:
        sender = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        receiver = a_group_socket(stack, GROUP, JoinRole.RECEIVER_ONLY)
        sender.send(b"hello")
        assert receiver.receive()[0] == b"hello"
        assert code_of(sender.receive) == c.WSAEOPNOTSUPP
        assert code_of(lambda: receiver.send(b"no")) == c.WSAEOPNOTSUPP
        assert code_of(lambda: sender.check_join(3)) == c.WSAEINVAL


@pytest.mark.requirement("JL-54", "DP-13", "DP-14")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_role_of_a_leaf_that_asks_is_its_own(provider: ProviderClass) -> None:
    with Stack() as stack:
        root, leaves = a_root(stack, provider=provider), {role: a_leaf(stack, provider=provider) for role in JoinRole}
        for role, leaf in leaves.items():
            accepting = Meanwhile(root.accept)
            leaf.join(root.local_address, JoinRequest(role))
            accepting.result()
        root.send(b"down")
        for role, leaf in leaves.items():
            if role.receives:
                assert leaf.receive()[0] == b"down"
            else:
                assert code_of(leaf.receive) == c.WSAEOPNOTSUPP
        if provider is ProviderClass.CONF:
            assert root.receive()[0] == b"down"
        for role, leaf in leaves.items():
            if role.sends:
                assert leaf.send(role.name.encode()) == len(role.name)
                assert root.receive()[0] == role.name.encode()
            else:
                assert code_of(partial(leaf.send, b"up")) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("JL-55", "JL-54")
@isolated
def test_root_that_only_receives_from_an_invited_leaf() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_listening_leaf(stack)
        accepting = Meanwhile(leaf.accept)
        root.join(leaf.local_address, JoinRequest(JoinRole.RECEIVER_ONLY))
        member = accepting.result()
        member.send(b"up")
        assert root.receive()[0] == b"up"
        assert code_of(member.receive) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("DP-15", "DP-12", "DP-35", "DP-19", "DP-18")
@isolated
def test_limits_of_messages() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        assert code_of(lambda: leaf.send(b"early")) == c.WSAENOTCONN
        assert code_of(leaf.receive) == c.WSAENOTCONN
        admit(root, leaf)
        root.send(b"12345")
        assert leaf.receive(flags=c.MSG_PEEK)[0] == b"12345"
        with pytest.raises(MultipointError) as failure:
            leaf.receive(3)
        assert (failure.value.code, failure.value.facts["data"]) == (c.WSAEMSGSIZE, b"123")
        assert is_silent(leaf)
        assert code_of(lambda: leaf.receive(flags=c.MSG_OOB)) == c.WSAEOPNOTSUPP
        assert code_of(lambda: root.send(bytes(root.entry.max_message + 1))) == c.WSAEMSGSIZE
        assert root.send(bytes(root.entry.max_message)) == root.entry.max_message


@pytest.mark.requirement("DP-30", "DP-31", "DP-32", "JL-48")
@isolated
def test_side_chat_between_root_and_one_leaf() -> None:
    with Stack() as stack:
        root, leaf, other = a_root(stack), a_leaf(stack), a_leaf(stack)
        leg = admit(root, leaf)
        admit(root, other)
        leg.send(b"just you")
        assert leaf.receive() == (b"just you", root.local_address)
        leaf.send(b"just you too", leaf.peer_address)
        assert leg.receive() == (b"just you too", leaf.local_address)
        assert is_silent(root)
        assert is_silent(other)


@pytest.mark.requirement("DP-34")
@isolated
def test_side_chats_can_be_switched_off() -> None:
    with Stack(Settings(side_chats=False)) as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        assert code_of(lambda: leg.send(b"no")) == c.WSAEOPNOTSUPP
        assert code_of(leg.receive) == c.WSAEOPNOTSUPP
        assert code_of(lambda: leaf.send(b"no", leaf.peer_address)) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("DP-19", "DP-21")
@isolated
def test_root_that_waits_for_data_before_it_has_a_leaf() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        receiving = Meanwhile(root.receive)
        admit(root, leaf)
        leaf.send(b"first")
        assert receiving.result()[0] == b"first"


@pytest.mark.requirement("DP-19", "AC-11")
@isolated
def test_member_that_sends_before_the_root_has_confirmed_it() -> None:
    with Stack() as stack:
        root = a_root(stack)
        for _ in range(100):
            _, member = invite(root, a_listening_leaf(stack))
            member.send(b"at once")
            assert root.receive()[0] == b"at once"


@pytest.mark.requirement("DP-27")
@isolated
def test_root_without_leaves_sends_to_nobody() -> None:
    with Stack() as stack:
        assert a_root(stack).send(b"anybody?") == 8
        idle = stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, 0x0A)
        assert code_of(lambda: idle.send(b"early")) == c.WSAENOTCONN


@pytest.mark.requirement("DP-17", "SK-28", "SK-26", "SK-30")
@isolated
def test_binding() -> None:
    with Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP)
        assert code_of(sock.receive) == c.WSAEINVAL
        assert code_of(lambda: sock.bind(("239.1.1.1", 5000))) == c.WSAEADDRNOTAVAIL
        assert code_of(lambda: sock.bind(("192.0.2.1", 5000))) == c.WSAEADDRNOTAVAIL
        sock.bind(("127.0.0.1", 0))
        assert sock.local_address.port >= 49152
        assert code_of(lambda: sock.bind(("127.0.0.1", 0))) == c.WSAEINVAL
        for make in (partial(stack.socket, c.AF_INET, c.SOCK_DGRAM), partial(a_leaf, stack)):
            first, second = make(), make()
            first.bind(("127.0.0.1", 6000))
            assert code_of(partial(second.bind, ("127.0.0.1", 6000))) == c.WSAEADDRINUSE
            first.close()


@pytest.mark.requirement("JL-54", "CL-15")
@isolated
def test_groups_the_kernel_holds() -> None:
    # What the kernel holds is what it reports to the network; sender-only holds nothing.
    pair = Pair()
    with pair.left, Stack() as stack, pair.right, Stack() as other:
        with pair.left:
            root = a_root(stack, pair.left.address)
            accepting = Meanwhile(root.accept)
        leaf = a_leaf(other)
        leaf.join(root.local_address, JoinRequest(JoinRole.SENDER_ONLY))
        accepting.result()
        assert held_groups() == set()
        with pair.left:
            accepting = Meanwhile(root.accept)
        hearing = a_leaf(other)
        hearing.join(root.local_address)
        leg = accepting.result()
        assert len(held_groups()) == 1
        watcher = Watcher(hearing)
        leg.close()
        assert watcher.wait_for(hearing, NetworkEvent.CLOSE) == 0
        # CL-15: given up by the stack, though the program has not closed its socket.
        assert held_groups() == set()


def held_groups() -> set[str]:
    """Return the groups that this thread's namespace is a member of, but those that every host has."""
    with open("/proc/thread-self/net/igmp") as table:  # noqa: PTH123 - read in this thread's namespace
        words = [line.split()[0] for line in table if line.startswith("\t\t\t\t")]
    return {word for word in words if word != "010000E0"}
