"""What comes of a join, and of its socket: outcomes one after the other, codes that are not in the list, dead legs."""

import contextlib
import logging
import os
import resource
import subprocess
from functools import partial

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    CONFERENCE_ROOT,
    HERE,
    LEAF,
    ROOT,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    code_or_none,
    wait_till_blocked,
)

from multipoint import constants as c
from multipoint.events import NetworkEvent
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Settings
from multipoint.wire import Endpoint

NOBODY = (HERE, 9)
GROUP = Endpoint("239.1.2.3", 5000)
SOURCE = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
WHO = pytest.mark.parametrize("who", ["leaf", "root"])


def a_joiner(stack: Stack, who: str) -> MultipointSocket:
    return a_leaf(stack) if who == "leaf" else stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT)


def one_who_is_asked(stack: Stack, who: str, host: str = HERE) -> MultipointSocket:
    return a_root(stack, host) if who == "leaf" else a_listening_leaf(stack, host)


@pytest.mark.requirement("JL-37", "JL-25", "JL-80", "SK-36")
@WHO
@isolated
def test_nonblocking_join_is_tried_again_after_each_failure(who: str) -> None:
    pair = Pair()
    with pair.left, Stack(Settings(join_timeout_s=0.2)) as stack:
        joiner, silent = a_joiner(stack, who), one_who_is_asked(stack, who)
        watcher = Watcher(joiner, c.FD_CONNECT)
        for address, code in (
            (NOBODY, c.WSAECONNREFUSED),
            (("198.51.100.1", 5000), c.WSAENETUNREACH),
            (silent.local_address, c.WSAETIMEDOUT),
            (NOBODY, c.WSAECONNREFUSED),
        ):
            joiner.join(address)
            assert watcher.wait_for(joiner, NetworkEvent.CONNECT) == code
        other = one_who_is_asked(stack, who)
        accepting = Meanwhile(other.accept)
        joiner.join(other.local_address)
        assert watcher.wait_for(joiner, NetworkEvent.CONNECT) == 0
        accepting.result()


@pytest.mark.requirement("JL-32", "JL-31")
@WHO
@isolated
def test_join_that_blocks_in_another_thread_is_outstanding(who: str) -> None:
    with Stack() as stack:
        joiner, first, second = a_joiner(stack, who), one_who_is_asked(stack, who), one_who_is_asked(stack, who)
        joining = Meanwhile(partial(joiner.join, first.local_address))
        wait_till_blocked(joiner)
        assert code_of(partial(joiner.join, second.local_address)) == c.WSAEALREADY
        second.set_blocking(False)
        assert code_of(second.accept) == c.WSAEWOULDBLOCK
        first.accept()
        joining.result()


@pytest.mark.requirement("JL-42")
@isolated
def test_leg_of_a_failed_join_is_dead_and_records_nothing() -> None:
    with Stack() as stack:
        root = a_joiner(stack, "root")
        watcher = Watcher(root)
        leg = root.join(NOBODY)
        assert watcher.wait_for(root, NetworkEvent.CONNECT) == c.WSAECONNREFUSED
        for call in (leg.receive, partial(leg.send, b"x"), partial(leg.shutdown, c.SD_BOTH), lambda: leg.peer_address):
            assert code_of(call) == c.WSAENOTCONN
        root.close()
        assert leg.enumerate_events() == {}
        # It is still there, and is closed like any other.
        leg.close()
        assert code_of(leg.close) == c.WSAENOTSOCK


@pytest.mark.requirement("JL-66", "JL-50", "JL-51")
@WHO
@isolated
def test_socket_that_is_bound_and_does_not_listen_refuses(who: str) -> None:
    with Stack() as stack:
        joiner, deaf = a_joiner(stack, who), a_joiner(stack, "root" if who == "leaf" else "leaf")
        deaf.bind((HERE, 0))
        assert code_of(partial(joiner.join, deaf.local_address)) == c.WSAECONNREFUSED


@pytest.mark.requirement("JL-38")
@WHO
@isolated
def test_membership_that_has_broken_leaves_its_socket_spent(who: str) -> None:
    with Stack() as stack:
        root, other = a_root(stack), a_root(stack)
        leaf = a_leaf(stack)
        leg = admit(root, leaf)
        watcher = Watcher(leaf, c.FD_CLOSE)
        if who == "leaf":
            leaf.shutdown(c.SD_BOTH)
        else:
            leg.options.linger = True, 0
            leg.close()
            assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == c.WSAECONNRESET
        assert code_of(partial(leaf.join, other.local_address)) == c.WSAEISCONN


@pytest.mark.requirement("SK-13", "JL-66")
@isolated
def test_second_data_root_is_refused_when_it_joins() -> None:
    with Stack() as stack:
        make = partial(stack.socket, c.AF_INET, c.SOCK_SEQPACKET, 302, None)
        root, full = make(CONFERENCE_ROOT), a_root(stack)
        root.bind((HERE, 0))
        root.listen()
        admit(root, make(SOURCE))
        # Asking, and invited: each session has its d_root, be it a leaf or the root itself.
        for keeper in (root, full):
            second = make(SOURCE)
            joining = Meanwhile(partial(code_of, partial(second.join, keeper.local_address)))
            assert code_of(keeper.accept) == c.WSAECONNREFUSED
            assert joining.result() == c.WSAECONNREFUSED
            third = make(SOURCE)
            third.bind((HERE, 0))
            third.listen()
            accepting = Meanwhile(partial(code_or_none, third.accept))
            assert code_of(partial(keeper.join, third.local_address)) == c.WSAECONNREFUSED
            third.close()
            accepting.result()
            admit(keeper, make(LEAF))


# The closed list of codes


@pytest.mark.requirement("JL-76", "JL-69", "JL-37")
@WHO
@isolated
def test_join_without_a_descriptor_to_spare_has_no_buffers(who: str) -> None:
    with Stack() as stack:
        joiner, asked = a_joiner(stack, who), one_who_is_asked(stack, who)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        held = []
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        code = code_or_none(partial(joiner.join, asked.local_address))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)
        assert code == c.WSAENOBUFS
        accepting = Meanwhile(asked.accept)
        joiner.join(asked.local_address)
        accepting.result()


@pytest.mark.requirement("JL-76", "JL-23", "JL-16")
@pytest.mark.parametrize("shares", [False, True])
@WHO
@isolated
def test_join_that_finds_no_free_port(who: str, shares: bool) -> None:
    with Stack() as near, Stack(Settings(first_port=50000, last_port=50000)) as stack:
        joiner, asked, owner = a_joiner(stack, who), one_who_is_asked(near, who), a_joiner(stack, who)
        owner.options.exclusive_address = True
        owner.bind(("0.0.0.0", 50000))
        joiner.options.reuse_address = shares
        for blocks in (True, False):
            joiner.set_blocking(blocks)
            assert code_of(partial(joiner.join, asked.local_address)) == c.WSAEADDRINUSE
        assert joiner.enumerate_events() == {}


@pytest.mark.requirement("JL-76", "JL-67")
@pytest.mark.parametrize(
    ("kind", "code"), [("unreachable", c.WSAENETUNREACH), ("throw", c.WSAENETUNREACH), ("prohibit", c.WSAENETDOWN)]
)
@WHO
@isolated
def test_way_that_the_kernel_refuses(kind: str, code: int, who: str, caplog: pytest.LogCaptureFixture) -> None:
    subprocess.run(("ip", "route", "add", kind, "198.51.100.0/24"), check=True)
    with Stack() as stack:
        joiner = a_joiner(stack, who)
        with caplog.at_level(logging.WARNING, "multipoint"):
            assert code_of(partial(joiner.join, ("198.51.100.1", 5000))) == code
        # What no code of the list was made for is told to who keeps the log.
        assert ("EACCES" in caplog.text) is (kind == "prohibit")


@pytest.mark.requirement("JL-11", "JL-37")
@isolated
def test_broadcast_address_of_a_subnet_is_no_way_to_a_host() -> None:
    with Stack() as stack:
        assert code_of(partial(a_leaf(stack).join, ("127.255.255.255", 9))) == c.WSAENETUNREACH


def switch(name: str, state: str) -> None:
    subprocess.run(("ip", "link", "set", name, state), check=True)


@pytest.mark.requirement("JL-68", "JL-67", "JL-37")
@pytest.mark.parametrize("who", ["leaf", "root", "group"])
@isolated
def test_network_that_is_switched_off_is_more_than_no_way(who: str) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:

        def join(host: str) -> int | None:
            """Join from a local address; a group has an interface by it, or the system's choice."""
            with (
                stack.socket(c.AF_INET, c.SOCK_DGRAM, 17, None, LEAF) if who == "group" else a_joiner(stack, who) as it
            ):
                if host:
                    it.bind((host, 0))
                return code_or_none(partial(it.join, GROUP if who == "group" else (pair.right.address, 9)))

        works = None if who == "group" else c.WSAECONNREFUSED
        assert [join(""), join(pair.left.address)] == [works] * 2
        switch("eth0", "down")
        # The loopback is a network still, though none that leads there.
        assert [join(""), join(pair.left.address)] == [c.WSAENETUNREACH, c.WSAENETDOWN]
        switch("lo", "down")
        assert [join(""), join(pair.left.address)] == [c.WSAENETDOWN] * 2
        switch("eth0", "up")
        assert join(pair.left.address) == works


# Nothing before its time


@pytest.mark.requirement("JL-80", "JL-18", "JL-20")
@isolated
def test_port_of_a_group_that_is_taken_is_told_by_the_call_alone() -> None:
    with Stack() as stack:
        owner = stack.socket(c.AF_INET, c.SOCK_DGRAM, 17)
        owner.bind(("0.0.0.0", GROUP.port))
        joiner = stack.socket(c.AF_INET, c.SOCK_DGRAM, 17, None, LEAF)
        watcher = Watcher(joiner)
        assert code_of(partial(joiner.join, GROUP)) == c.WSAEADDRINUSE
        assert joiner.enumerate_events() == {}
        owner.close()
        joiner.set_interface(1)
        joiner.join(GROUP)
        assert watcher.wait_for(joiner, NetworkEvent.CONNECT) == 0
