"""Whom a message reaches and whom not, when, and as whose; beside each silence stands somebody who has heard."""

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
    code_or_none,
    invite,
)
from tests.stack.test_data import is_silent

from multipoint import constants as c
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.stack import Stack
from multipoint.values import Settings
from multipoint.wire import Endpoint

GROUP, OTHER = Endpoint("239.1.2.3", 5000), Endpoint("239.1.2.4", 5000)
GROUPS = {c.AF_INET: ("239.1.2.3", "239.1.2.4"), c.AF_INET6: ("ff15::3", "ff15::4")}


# Plain groups


@pytest.mark.requirement("DP-02", "DP-01", "DP-16", "DP-11")
@isolated
def test_named_destination_comes_before_the_group_joined() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        member, neighbour, elsewhere = (a_group_socket(stack, where, interface=0) for where in (GROUP, GROUP, OTHER))
        alone = stack.socket(c.AF_INET, c.SOCK_DGRAM)
        alone.bind((pair.left.address, 0))
        own = Endpoint(pair.left.address, GROUP.port)
        for words in (b"to the other group", b""):
            member.send(words, OTHER)
            assert elsewhere.receive() == (words, own)
            member.send(words, alone.local_address)
            assert alone.receive() == (words, own)
        member.send(b"to my own")
        # The first that the neighbour hears, so nothing else came here.
        assert neighbour.receive() == member.receive() == (b"to my own", own)
        assert member.peer_address == GROUP


@pytest.mark.requirement("DP-04", "DP-40", "D-34")
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@isolated
def test_groups_of_other_sockets_are_not_heard_unicast_to_the_port_is(family: int) -> None:
    group, other_group = GROUPS[family]
    pair = Pair()
    with pair.left, Stack() as stack:
        own = pair.left.address if family == c.AF_INET else pair.left.address6
        mine, other = (stack.socket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF) for _ in range(2))
        for sock, where in ((mine, group), (other, other_group)):
            sock.options.reuse_address = True
            sock.join((where, 5000))
        while code_or_none(lambda: other.send(b"other")) == c.WSAENETUNREACH:
            pass  # IPv6 has its route a moment after the link is up
        assert other.receive()[0] == b"other"
        speaker = stack.socket(family, c.SOCK_DGRAM)
        speaker.bind((own, 0))
        mine.set_blocking(False)
        assert code_of(mine.receive) == c.WSAEWOULDBLOCK
        mine.close()
        mine = stack.socket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
        mine.join((group, 5001))
        speaker.send(b"to the port", (own, 5001))
        assert mine.receive()[0] == b"to the port"


@pytest.mark.requirement("DP-17", "DP-18")
@pytest.mark.parametrize("flags", [0, LEAF], ids=["ordinary", "multipoint"])
@isolated
def test_plain_socket_that_is_not_bound_or_not_joined(flags: int) -> None:
    with Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, flags)
        for _ in ("unbound", "bound"):
            assert code_of(partial(sock.send, b"to whom?")) == c.WSAENOTCONN
            if sock.bound is None:
                assert code_of(sock.receive) == c.WSAEINVAL
                sock.bind(("127.0.0.1", 0))
        assert is_silent(sock)


@pytest.mark.requirement("DP-13", "DP-14", "EV-36", "EV-37")
@isolated
def test_plain_roles_record_no_event_of_the_direction_they_lack() -> None:
    with Stack() as stack:
        sender = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY)
        receiver = a_group_socket(stack, GROUP, JoinRole.RECEIVER_ONLY)
        both = a_group_socket(stack, GROUP)
        watchers = [Watcher(sock, c.FD_READ | c.FD_WRITE) for sock in (sender, receiver, both)]
        both.send(b"unicast", ("127.0.0.1", sender.local_address.port))
        both.send(b"group")
        assert watchers[1].wait_for(receiver, NetworkEvent.READ) == 0
        assert watchers[2].wait_for(both, NetworkEvent.READ) == 0
        assert list(sender.enumerate_events()) == [NetworkEvent.WRITE]
        assert receiver.enumerate_events() == {}


@pytest.mark.requirement("EV-37")
@isolated
def test_receiver_records_no_room() -> None:
    with Stack() as stack:
        receiver = a_group_socket(stack, GROUP, JoinRole.RECEIVER_ONLY)
        watcher = Watcher(receiver, c.FD_READ | c.FD_WRITE)
        assert receiver.enumerate_events() == {}
        a_group_socket(stack, GROUP).send(b"group")
        assert watcher.wait_for(receiver, NetworkEvent.READ) == 0


# Rooted data


@pytest.mark.requirement("DP-16", "DP-31", "DP-22", "DP-32")
@isolated
def test_who_is_told_as_the_sender_in_a_rooted_session() -> None:
    with Stack() as stack:
        root, leaf, other = a_root(stack), a_leaf(stack), a_leaf(stack)
        leg = admit(root, leaf)
        admit(root, other)
        root.send(b"data")
        data, sender = leaf.receive()
        assert (data, sender) == (b"data", leaf.peer_data_address)  # type: ignore[attr-defined]
        assert other.receive() == (data, sender)
        leg.send(b"chat")
        assert leaf.receive() == (b"chat", root.local_address)
        assert sender != root.local_address
        # Whatever address is given, it goes to the d_root, but for the root's control address.
        for to in (None, sender, other.local_address, GROUP):
            leaf.send(b"up", to)
            assert root.receive() == (b"up", leg.peer_address)
        root.send(b"down", other.local_address)
        assert leaf.receive()[0] == other.receive()[0] == b"down"
        leaf.send(b"chat", root.local_address)
        assert leg.receive() == (b"chat", leg.peer_address)
        assert all(is_silent(sock) for sock in (root, other, leaf, leg))


@pytest.mark.requirement("DP-23", "D-37")
@isolated
def test_what_a_leaf_puts_on_the_group_itself_reaches_nobody() -> None:
    # On the root's own host, where the kernel's source filter lets it through.
    pair = Pair()
    with pair.left, Stack() as stack:
        root, leaf, other = a_root(stack, pair.left.address), a_leaf(stack), a_leaf(stack)
        for sock in (leaf, other):
            admit(root, sock)
        plane, membership = leaf._plane, leaf._core.membership  # type: ignore[attr-defined]
        for key in (leaf._authenticator, other._authenticator):  # type: ignore[attr-defined]
            plane.send(b"leaf to leaf", membership.group, key)
            plane.send(b"leaf to leaf", other.data_socket().getsockname(), key)  # type: ignore[union-attr]
        root.send(b"the root's")
        assert leaf.receive()[0] == other.receive()[0] == b"the root's"
        assert all(is_silent(sock) for sock in (root, leaf, other))
        assert stack.counters.stranger > 0


@pytest.mark.requirement("DP-26", "AC-31")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_leaf_hears_what_is_sent_while_it_is_a_member(provider: ProviderClass) -> None:
    with Stack() as stack:
        root = a_root(stack, provider=provider)
        early, late = (a_leaf(stack, provider=provider) for _ in range(2))
        admit(root, early)
        root.send(b"before")
        assert early.receive()[0] == b"before"
        leg = admit(root, late)
        root.send(b"while")
        assert early.receive()[0] == late.receive()[0] == b"while"
        watcher = Watcher(late, c.FD_CLOSE)
        leg.close()
        assert watcher.wait_for(late, NetworkEvent.CLOSE) == 0
        root.send(b"after")
        assert early.receive()[0] == b"after"
        assert code_of(late.receive) == c.WSAEDISCON


@pytest.mark.requirement("DP-27", "D-39")
@isolated
def test_root_sends_once_it_listens_or_one_join_is_done() -> None:
    with Stack() as stack:
        root, leaf = stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT), a_listening_leaf(stack)
        assert code_of(partial(root.send, b"early")) == c.WSAENOTCONN
        root.bind(("127.0.0.1", 0))
        assert code_of(partial(root.send, b"early")) == c.WSAENOTCONN
        assert code_of(partial(root.join, ("127.0.0.1", 9))) == c.WSAECONNREFUSED
        assert code_of(partial(root.send, b"early")) == c.WSAENOTCONN
        leg, member = invite(root, leaf)
        leg.send(b"welcome")
        assert member.receive()[0] == b"welcome"
        root.send(b"now")
        assert member.receive()[0] == b"now"
        leg.close()
        assert root.send(b"nobody") == 6


# Conferences


@pytest.mark.requirement("DP-24", "DP-16", "DP-01")
@isolated
def test_conference_names_who_spoke_and_loops_back_where_that_is_on() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        root = a_root(stack, pair.left.address, provider=ProviderClass.CONF)
        on, off = (a_leaf(stack, provider=ProviderClass.CONF) for _ in range(2))
        off.set_loopback(False)
        for leaf in (on, off):
            admit(root, leaf)
        senders = set()
        for speaker in (root, on, off):
            speaker.send(b"to all")
            heard = [sock.receive() for sock in (root, on)]
            assert [data for data, _ in heard] == [b"to all"] * 2
            assert len({sender for _, sender in heard}) == 1
            senders.add(heard[0][1])
        assert is_silent(off)
        assert {sender.host for sender in senders} == {pair.left.address}
        off.set_loopback(True)
        off.send(b"myself")
        off.set_blocking(True)
        assert off.receive()[0] == on.receive()[0] == root.receive()[0] == b"myself"


@pytest.mark.requirement("DP-16", "DP-24")
@isolated
def test_conference_tells_the_host_of_who_spoke() -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            root = a_root(near, pair.left.address, provider=ProviderClass.CONF)
            accepting = Meanwhile(root.accept)
        leaf = a_leaf(far, provider=ProviderClass.CONF)
        leaf.join(root.local_address)
        accepting.result()
        root.send(b"from the left")
        assert leaf.receive()[1].host == root.receive()[1].host == pair.left.address
        leaf.send(b"from the right")
        assert leaf.receive()[1].host == root.receive()[1].host == pair.right.address


# Side chats


@pytest.mark.requirement("DP-34", "EV-40", "DP-30", "DP-11")
@pytest.mark.parametrize("has_chats", [True, False])
@isolated
def test_leg_records_data_and_room_where_there_are_chats(has_chats: bool) -> None:
    with Stack(Settings(side_chats=has_chats)) as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        watcher = Watcher(leg)
        assert list(leg.enumerate_events()) == ([NetworkEvent.WRITE] if has_chats else [])
        if has_chats:
            leaf.send(b"", leaf.peer_address)
            assert watcher.wait_for(leg, NetworkEvent.READ) == 0
            assert leg.receive()[0] == b""
        root.send(b"to the group")
        assert leaf.receive()[0] == b"to the group"
        assert leg.enumerate_events() == {}
        leaf.close()
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
