"""Whose kernel remembers a connection that has ended: the root's, so that a leaf's host never runs out of ports."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stack.network import Pair, Place, isolated
from tests.stack.people import (
    PATIENCE_S,
    ROOT,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    code_of,
    says,
)

from multipoint import constants as c
from multipoint.events import NetworkEvent
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack

TIME_WAIT, LISTEN = 0x06, 0x0A
STATE = 3
# The leaf has one port for all its joins: the same two ports connect again and again.
PORT = 50001
ROUNDS = 3


def connections(place: Place) -> set[int]:
    """Return the states of the TCP connections in a place."""
    with place:
        lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    return {int(line.split()[STATE], 16) for line in lines} - {LISTEN}


def wait_until_over(place: Place) -> set[int]:
    """Wait until every connection is over at this end; return what is left of them."""
    deadline = time.monotonic() + PATIENCE_S
    while (states := connections(place)) - {TIME_WAIT}:
        assert time.monotonic() < deadline, states
    return states


def leaf_shuts_down(leg: MultipointSocket, leaf: MultipointSocket) -> None:
    watcher = Watcher(leg)
    leaf.shutdown(c.SD_BOTH)
    assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
    leaf.close()


ENDS: dict[str, Callable[[MultipointSocket, MultipointSocket], None]] = {
    "leaf closes": lambda _, leaf: leaf.close(),
    "leaf shuts down, then closes": leaf_shuts_down,
    "leg closes": lambda leg, _: leg.close(),
}


@pytest.mark.requirement("CL-07", "CL-08", "CL-32")
@pytest.mark.parametrize("how", ENDS)
@isolated
def test_leaf_that_asked_leaves_nothing_behind_and_comes_again_from_the_same_port(how: str) -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            root = a_root(near, pair.left.address)
        for _ in range(ROUNDS):
            with pair.left:
                accepting = Meanwhile(root.accept)
            leaf = a_leaf(far)
            leaf.options.reuse_address = True
            leaf.bind((pair.right.address, PORT))
            leaf.join(root.local_address)
            ENDS[how](accepting.result(), leaf)
            assert wait_until_over(pair.right) == set()
            assert wait_until_over(pair.left) == {TIME_WAIT}


@pytest.mark.requirement("CL-07", "CL-08", "CL-32")
@pytest.mark.parametrize("how", ENDS)
@isolated
def test_leaf_that_was_invited_leaves_nothing_behind(how: str) -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        listening = a_listening_leaf(far, pair.right.address)
        accepting = Meanwhile(listening.accept)
        with pair.left:
            leg = a_root(near, pair.left.address).join(listening.local_address)
        ENDS[how](leg, accepting.result())
        assert wait_until_over(pair.right) == set()
        assert wait_until_over(pair.left) == {TIME_WAIT}


def session_ends(pair: Pair, root: MultipointSocket, leaf: MultipointSocket) -> None:
    with pair.left:
        accepting = Meanwhile(root.accept)
    leaf.join(root.local_address)
    accepting.result()
    root.close()


def join_is_refused(pair: Pair, root: MultipointSocket, leaf: MultipointSocket) -> None:
    with pair.left:
        accepting = Meanwhile(lambda: code_of(lambda: root.accept(says(c.CF_REJECT))))
    assert code_of(lambda: leaf.join(root.local_address)) == accepting.result() == c.WSAECONNREFUSED


def request_is_withdrawn(pair: Pair, root: MultipointSocket, leaf: MultipointSocket) -> None:
    with pair.left:
        watcher = Watcher(root)
    leaf.set_blocking(False)
    leaf.join(root.local_address)
    assert watcher.wait_for(root, NetworkEvent.ACCEPT) == 0
    leaf.close()


@pytest.mark.requirement("CL-01", "JL-37", "JL-39")
@pytest.mark.parametrize("end", [session_ends, join_is_refused, request_is_withdrawn])
@isolated
def test_other_ends_leave_nothing_at_the_leaf_either(
    end: Callable[[Pair, MultipointSocket, MultipointSocket], None],
) -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            root = a_root(near, pair.left.address)
        end(pair, root, a_leaf(far))
        assert wait_until_over(pair.right) == set()
        assert wait_until_over(pair.left) == {TIME_WAIT}


def a_root_at(stack: Stack, place: Place) -> MultipointSocket:
    with place:
        root = stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT)
        root.bind((place.address, PORT))
        root.listen()
    return root


@pytest.mark.requirement("SK-26", "SK-30")
@pytest.mark.parametrize("is_exclusive", [False, True])
@isolated
def test_root_comes_again_at_its_port_though_its_connections_are_remembered(is_exclusive: bool) -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        for end in (lambda leg, leaf: leaf.close(), lambda leg, leaf: None):
            root = a_root_at(near, pair.left)
            with pair.left:
                accepting = Meanwhile(root.accept)
            leaf = a_leaf(far)
            leaf.join(root.local_address)
            end(accepting.result(), leaf)
            root.close()
            assert wait_until_over(pair.left) == {TIME_WAIT}
        with pair.left, near.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT) as again:
            again.options.exclusive_address = is_exclusive
            again.bind((pair.left.address, PORT))
            # A living owner is one all the same, before it listens too.
            other = near.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT)
            assert code_of(lambda: other.bind((pair.left.address, PORT))) == c.WSAEADDRINUSE
            again.listen()
            assert code_of(lambda: other.bind((pair.left.address, PORT))) == c.WSAEADDRINUSE
