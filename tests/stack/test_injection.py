"""A stranger on the segment who sees every packet and can send any: his frames reach no program, and are counted."""

import socket
import struct
from collections.abc import Callable

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import PATIENCE_S, Meanwhile, a_leaf, a_root

from multipoint.kinds import ProviderClass
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack

ETH_P_ALL, ETH_HEADER, IP_HEADER, UDP_HEADER = 3, 14, 20, 8
PAYLOAD = ETH_HEADER + IP_HEADER + UDP_HEADER
TAG = 40


class Stranger:
    """Sits on the link: keeps what passes with these bytes in it, and puts frames on it towards the other side."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._sock.bind(("eth0", ETH_P_ALL))
        self._sock.settimeout(PATIENCE_S)

    def frame_with(self, words: bytes) -> bytes:
        while words not in (frame := self._sock.recv(2000)):
            pass
        return frame

    def send(self, frame: bytes) -> None:
        self._sock.send(frame)


def changed(frame: bytes, place: int, value: bytes) -> bytes:
    """Return the frame with other bytes in its UDP payload, and without UDP checksum, which IPv4 lets be.

    What is seen on its way out of this host has no right checksum yet.
    """
    data = bytearray(frame)
    data[PAYLOAD + place : PAYLOAD + place + len(value)] = value
    data[PAYLOAD - 2 : PAYLOAD] = b"\0\0"
    return bytes(data)


def from_host(frame: bytes, host: str) -> bytes:
    """Return the frame as if another host had sent it."""
    data = bytearray(changed(frame, 0, b""))
    data[ETH_HEADER + 12 : ETH_HEADER + 16] = socket.inet_aton(host)
    data[ETH_HEADER + 10 : ETH_HEADER + 12] = b"\0\0"
    words = sum(struct.unpack("!10H", data[ETH_HEADER : ETH_HEADER + IP_HEADER]))
    words = (words & 0xFFFF) + (words >> 16)
    data[ETH_HEADER + 10 : ETH_HEADER + 12] = struct.pack("!H", ~(words + (words >> 16)) & 0xFFFF)
    return bytes(data)


FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str | None]] = {
    "as it was": (lambda frame: changed(frame, 0, b""), "replayed"),
    "another payload": (lambda frame: changed(frame, TAG, b"X"), "forged"),
    "a higher sequence": (lambda frame: changed(frame, 16, b"\0\0\0\1"), "forged"),
    "another tag": (lambda frame: changed(frame, 24, bytes(16)), "forged"),
    "another session": (lambda frame: changed(frame, 8, bytes(8)), "stranger"),
    "an unknown sender": (lambda frame: changed(frame, 4, b"\0\0\1\0"), "stranger"),
    "another version": (lambda frame: changed(frame, 0, b"\xd2"), "no_datagram"),
    # The kernel's source filter keeps it from us.
    "from another host": (lambda frame: from_host(frame, "10.9.0.77"), None),
}


def a_session(
    pair: Pair, near: Stack, far: Stack, provider: ProviderClass
) -> tuple[MultipointSocket, MultipointSocket]:
    """Return a root on the left and a leaf on the right."""
    with pair.left:
        root = a_root(near, pair.left.address, provider=provider)
        accepting = Meanwhile(root.accept)
    leaf = a_leaf(far, provider=provider)
    leaf.join(root.local_address)
    accepting.result()
    return root, leaf


def counted(stack: Stack) -> dict[str, int]:
    return {name: count for name, count in vars(stack.counters).items() if count}


@pytest.mark.requirement("DP-23", "DP-25", "D-37")
@pytest.mark.parametrize("forgery", FORGERIES)
@isolated
def test_forged_root_reaches_no_leaf(forgery: str) -> None:
    change, cause = FORGERIES[forgery]
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            stranger = Stranger()
        root, leaf = a_session(pair, near, far, ProviderClass.P2MP)
        root.send(b"one of the root's")
        assert leaf.receive()[0] == b"one of the root's"
        stranger.send(change(stranger.frame_with(b"one of the root's")))
        root.send(b"the next")
        assert leaf.receive()[0] == b"the next"
        assert counted(far) == ({cause: 1} if cause else {})


@pytest.mark.requirement("DP-21", "D-37")
@pytest.mark.parametrize(
    ("forgery", "cause"), [("as it was", "replayed"), ("another payload", "forged"), ("an unknown sender", "stranger")]
)
@isolated
def test_forged_leaf_does_not_reach_the_root(forgery: str, cause: str) -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        stranger = Stranger()
        root, leaf = a_session(pair, near, far, ProviderClass.P2MP)
        leaf.send(b"one of the leaf's")
        assert root.receive()[0] == b"one of the leaf's"
        stranger.send(FORGERIES[forgery][0](stranger.frame_with(b"one of the leaf's")))
        leaf.send(b"the next")
        assert root.receive()[0] == b"the next"
        assert counted(near) == {cause: 1}


@pytest.mark.requirement("DP-24", "D-37")
@isolated
def test_stranger_in_a_conference_is_not_heard() -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            stranger = Stranger()
        root, leaf = a_session(pair, near, far, ProviderClass.CONF)
        root.send(b"one of the root's")
        assert leaf.receive()[0] == b"one of the root's"
        frame = stranger.frame_with(b"one of the root's")
        for forged in (
            changed(frame, 0, b""),
            changed(frame, 4, b"\0\0\1\0"),
            from_host(changed(frame, TAG, b"X"), "10.9.0.77"),
        ):
            stranger.send(forged)
        root.send(b"the next")
        assert leaf.receive()[0] == b"the next"
        assert counted(far) == {"replayed": 1, "forged": 2}


@pytest.mark.requirement("DP-26", "DP-23", "DP-25", "D-37")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_newcomer_is_not_sent_again_what_was_said_before_he_came(provider: ProviderClass) -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            stranger = Stranger()
        root, leaf = a_session(pair, near, far, provider)
        root.send(b"before he came")
        assert leaf.receive()[0] == b"before he came"
        frame = stranger.frame_with(b"before he came")
        with pair.left:
            accepting = Meanwhile(root.accept)
        newcomer = a_leaf(far, provider=provider)
        newcomer.join(root.local_address)
        accepting.result()
        stranger.send(changed(frame, 0, b""))
        root.send(b"the next")
        assert newcomer.receive()[0] == leaf.receive()[0] == b"the next"
        assert counted(far) == {"replayed": 2}


@pytest.mark.requirement("DP-26", "DP-25", "D-37")
@isolated
def test_newcomer_who_has_heard_a_participant_is_not_sent_again_what_that_one_has_said() -> None:
    pair = Pair()
    with pair.left, Stack() as near, pair.right, Stack() as far:
        with pair.left:
            stranger = Stranger()
        root, leaf = a_session(pair, near, far, ProviderClass.CONF)
        with pair.left:
            speaker = a_leaf(near, provider=ProviderClass.CONF)
            accepting = Meanwhile(root.accept)
            speaker.join(root.local_address)
            accepting.result()
        speaker.send(b"before he came")
        assert leaf.receive()[0] == b"before he came"
        frame = stranger.frame_with(b"before he came")
        with pair.left:
            accepting = Meanwhile(root.accept)
        newcomer = a_leaf(far, provider=ProviderClass.CONF)
        newcomer.join(root.local_address)
        accepting.result()
        speaker.send(b"now")
        assert newcomer.receive()[0] == b"now"
        stranger.send(changed(frame, 0, b""))
        speaker.send(b"the next")
        assert newcomer.receive()[0] == b"the next"
