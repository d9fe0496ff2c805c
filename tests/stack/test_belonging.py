"""Who belongs and who doesn't: the pre-shared key, limits on callers, chats that nobody reads, and what is counted."""

import socket
import threading
import time

import pytest
from tests.stack.network import isolated
from tests.stack.people import (
    PATIENCE_S,
    Meanwhile,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    code_or_none,
    invite,
)

from multipoint import constants as c
from multipoint import rooted, wire
from multipoint.kinds import ProviderClass
from multipoint.link import Patience
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Settings

KEY, OTHER_KEY = b"key " * 8, b"other key" * 4
# Chats of 60 kB: an inbox, our buffer and the kernel's hold some 250.
MORE_THAN_FITS = 2000


def call(root: MultipointSocket, said: bytes, host: str = "127.0.0.1") -> socket.socket:
    """Connect to the control port as any program can."""
    caller = socket.create_connection(root.local_address, PATIENCE_S, (host, 0))
    caller.sendall(said)
    return caller


def all_said_to(caller: socket.socket) -> bytes:
    """Return what the other side says until it hangs up."""
    said = b""
    try:
        while piece := caller.recv(1000):
            said += piece
    except ConnectionResetError:
        pass
    return said


@isolated
def test_members_with_the_key_join_both_ways() -> None:
    with Stack(Settings(key=KEY)) as stack:
        root = a_root(stack)
        asked = a_leaf(stack)
        leg = admit(root, asked)
        _, invited = invite(root, a_listening_leaf(stack))
        # An invited member can hear when it can speak.
        invited.send(b"here")
        assert root.receive()[0] == b"here"
        root.send(b"hello")
        assert asked.receive()[0] == invited.receive()[0] == b"hello"
        leg.send(b"you")
        assert asked.receive()[0] == b"you"
        assert stack.counters.untrusted == 0


@pytest.mark.requirement("JL-66")
@pytest.mark.parametrize(("here", "there"), [(KEY, OTHER_KEY), (KEY, None), (None, KEY)])
@isolated
def test_wrong_or_missing_key_is_refused_both_ways(here: bytes | None, there: bytes | None) -> None:
    with Stack(Settings(key=here)) as stack, Stack(Settings(key=there)) as other:
        root, leaf = a_root(stack), a_listening_leaf(other)
        assert code_of(lambda: a_leaf(other).join(root.local_address)) == c.WSAECONNREFUSED
        assert code_of(lambda: root.join(leaf.local_address)) == c.WSAECONNREFUSED
        root.set_blocking(False)
        assert code_of(root.accept) == c.WSAEWOULDBLOCK
        assert stack.counters.untrusted + other.counters.untrusted >= 2


@isolated
def test_key_is_not_shown() -> None:
    assert "key " not in repr(Settings(key=KEY))


@isolated
def test_each_connection_has_a_nonce_of_its_own() -> None:
    with Stack(Settings(key=KEY)) as stack:
        root, hello = a_root(stack), wire.encode(wire.Hello(wants_proof=True))
        calls = [call(root, hello) for _ in range(3)]
        answers = {caller.recv(wire.HELLO_SIZE, socket.MSG_WAITALL) for caller in calls}
        assert len(answers) == 3
        # Without the key there is no getting any further.
        calls[0].sendall(wire.encode(wire.Proof(bytes(32))))
        assert all_said_to(calls[0]) == b""
        assert stack.counters.untrusted == 1


@pytest.mark.requirement("AC-09")
@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("said", [0, 10, wire.HELLO_SIZE, wire.HELLO_SIZE + 5])
@isolated
def test_caller_who_does_not_finish_his_request_is_dropped(key: bytes | None, said: int) -> None:
    with Stack(Settings(key=key)) as stack:
        stack.patience = Patience(greeting_s=0.05)
        root = a_root(stack)
        begun = wire.encode(wire.Hello(wants_proof=key is not None)) + b"\1\0\0\x20 half a proof"
        if key is None:
            begun = wire.encode(wire.Hello()) + b"\2\0\0\x80 half a request"
        assert len(all_said_to(call(root, begun[:said]))) <= wire.HELLO_SIZE
        assert stack.counters.unasked == 1


@isolated
def test_one_host_cannot_keep_others_out_by_saying_nothing() -> None:
    rooted.MAX_UNASKED = 3
    with Stack() as stack:
        root = a_root(stack)
        silent = [call(root, b"", "127.0.0.2") for _ in range(5)]
        assert all_said_to(silent[3]) == all_said_to(silent[4]) == b""
        assert stack.counters.crowded == 2
        admit(root, a_leaf(stack))


@isolated
def test_what_is_out_of_place_or_does_not_fit_is_counted() -> None:
    with Stack() as stack:
        root, hello = a_root(stack), wire.encode(wire.Hello())
        assert all_said_to(call(root, hello + wire.encode(wire.Chat(b"?")))) == b""
        assert all_said_to(call(root, hello + b"\x63\0")) == b""
        conference_leaf = a_leaf(stack, provider=ProviderClass.CONF)
        assert code_of(lambda: conference_leaf.join(root.local_address)) == c.WSAECONNREFUSED
        counted = stack.counters
        assert (counted.misplaced, counted.garbage, counted.refused) == (1, 1, 1)


@pytest.mark.requirement("DP-30")
@pytest.mark.parametrize("is_root_deaf", [True, False])
@isolated
def test_chat_that_nobody_reads_is_held_back_at_its_sender(is_root_deaf: bool) -> None:
    with Stack() as stack, Stack() as other:
        root, leaf = a_root(stack), a_leaf(other)
        leg = admit(root, leaf)
        deaf = leg if is_root_deaf else leaf

        def say(data: bytes) -> None:
            leaf.send(data, leaf.peer_address) if is_root_deaf else leg.send(data)

        # A sender that is quicker than the other side's thread is refused too, for a moment; so it goes on until it is
        # known that nobody listens any more.
        def is_held() -> bool:
            return deaf.chat_connection.is_held  # type: ignore[attr-defined,no-any-return]

        said, refusal = 0, None
        while not (is_held() and refusal) and said < MORE_THAN_FITS:
            refusal = code_or_none(lambda: say(b"%08d" % said + bytes(60_000)))  # noqa: B023 - called at once
            said += refusal is None
        assert refusal == c.WSAENOBUFS
        assert len(deaf.inbox) < 100  # type: ignore[attr-defined]
        # Others are served meanwhile, and nothing was lost.
        admit(root, a_leaf(other))
        reading = Meanwhile(lambda: [deaf.receive()[0][:8] for _ in range(said)])
        assert reading.result() == [b"%08d" % number for number in range(said)]


@isolated
def test_many_lives_leave_nothing_behind() -> None:
    with Stack() as stack:
        root = a_root(stack)

        def live() -> None:
            leaf = a_leaf(stack)
            leg = admit(root, leaf)
            leaf.close()
            assert code_of(leg.receive) == c.WSAEDISCON
            leg.close()

        def held() -> tuple[int, int]:
            return len(stack.sockets), threading.active_count()

        live()
        before = held()
        for _ in range(100):
            live()
        assert held() == before
        # The last connections end when the stack's thread has heard of it.
        watched = stack.reactor._handlers
        deadline = time.monotonic() + PATIENCE_S
        while len(watched) > 1:
            assert time.monotonic() < deadline, f"{len(watched)} descriptors are still watched"
            time.sleep(0.005)
