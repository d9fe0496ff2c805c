"""What leaving does on the network: the kernel's table, the messages on the link, the frames of a switch's port."""

import itertools
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from tests.stack.network import Pair, Place, isolated
from tests.stack.people import (
    CONFERENCE_ROOT,
    LEAF,
    PATIENCE_S,
    ROOT,
    Meanwhile,
    Watcher,
    code_of,
    code_or_none,
)
from tests.stack.sniffer import UDP, Frame, Sniffer, is_leave
from tests.stack.switch import Switch

from multipoint import constants as c
from multipoint.catalogue import PROTOCOLS
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.rootsocket import RootSocket
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest

PORT = 5000
AF = {c.AF_INET: socket.AF_INET, c.AF_INET6: socket.AF_INET6}
GROUPS = {c.AF_INET: "239.1.2.3", c.AF_INET6: "ff15::1:203"}
CHANNELS = {c.AF_INET: "232.1.2.3", c.AF_INET6: "ff35::1"}
SOURCE = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
# A group that nobody has joined, to see whether the switch floods those.
NOBODYS = {c.AF_INET: "239.9.9.9", c.AF_INET6: "ff15::909"}
BETWEEN_HELLOS_S = 0.02
# So often in a row nothing may come before a port counts as quiet.
QUIET = 20


def address_of(place: Place, family: int) -> str:
    return place.address6 if family == c.AF_INET6 else place.address


def a_session_root(place: Place, stack: Stack, provider: ProviderClass, family: int = c.AF_INET) -> RootSocket:
    """Return a listening c_root whose group is known."""
    flags = ROOT if provider is ProviderClass.P2MP else CONFERENCE_ROOT
    with place:
        root = stack.socket(family, c.SOCK_SEQPACKET, PROTOCOLS[provider], None, flags)
        assert isinstance(root, RootSocket)
        root.set_group((GROUPS[family], PORT))
        root.bind((address_of(place, family), 0))
        root.listen()
    return root


def admitted(at: Place, root: RootSocket, place: Place, stack: Stack) -> tuple[MultipointSocket, MultipointSocket]:
    """Let somebody at a place ask to be let in; return the leg and the member."""
    with at:
        accepting = Meanwhile(root.accept)
    with place:
        assert root.entry
        leaf = stack.socket(
            root.entry.family, c.SOCK_SEQPACKET, root.entry.protocol, None, LEAF | c.WSA_FLAG_OVERLAPPED
        )
        leaf.options.receive_timeout_s = PATIENCE_S
        leaf.join(root.local_address)
    return accepting.result(), leaf


ENDS: dict[str, Callable[[RootSocket, MultipointSocket], None]] = {
    "root closes": lambda root, _: root.close(),
    "root shuts down": lambda root, _: root.shutdown(c.SD_BOTH),
    "leg is closed": lambda _, leg: leg.close(),
}


@pytest.mark.requirement("CL-15", "CL-20", "CL-22", "CL-39", "D-81")
@pytest.mark.parametrize("how", [*ENDS, "root breaks off"])
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_end_of_a_session_gives_up_the_members_membership(provider: ProviderClass, family: int, how: str) -> None:
    pair, group = Pair(), GROUPS[family]
    with pair.left, Stack() as near, pair.right, Stack() as far:
        root = a_session_root(pair.left, near, provider, family)
        with pair.left:
            link = Sniffer()
        leg, leaf = admitted(pair.left, root, pair.right, far)
        assert pair.right.has_joined(group)
        watcher, code = Watcher(leaf, c.FD_CLOSE), 0
        if how == "root breaks off":
            root.options.linger, code = (True, 0), c.WSAECONNRESET
            root.close()
        else:
            ENDS[how](root, leg)
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == code
        # The program has done nothing, and its socket is still open.
        assert not pair.right.has_joined(group)
        assert not leaf.is_closed
        link.until_frame(lambda frame: is_leave(frame, group))
        assert code_of(leaf.receive) == (code or c.WSAEDISCON)


@pytest.mark.requirement("SU-11")
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@isolated
def test_clean_up_gives_up_all_memberships(family: int) -> None:
    pair = Pair()
    plain = "239.9.8.7" if family == c.AF_INET else "ff15::907"
    groups = {GROUPS[family], plain, CHANNELS[family]}
    with pair.left, Stack() as near, pair.right:
        far = Stack()
        root = a_session_root(pair.left, near, ProviderClass.P2MP, family)
        with pair.left:
            link = Sniffer()
        leg, _ = admitted(pair.left, root, pair.right, far)
        for group, protocol in ((plain, 17), (CHANNELS[family], 301)):
            sock = far.socket(family, c.SOCK_DGRAM, protocol, None, LEAF)
            sock.set_interface(socket.if_nametoindex("eth0"))
            sources = (address_of(pair.left, family),) if protocol == 301 else ()
            sock.options.reuse_address = True
            sock.join((group, PORT), JoinRequest(JoinRole.RECEIVER_ONLY, sources=sources))
        assert all(map(pair.right.has_joined, groups))
        watcher = Watcher(leg, c.FD_CLOSE)
        far.close()
        assert not any(map(pair.right.has_joined, groups))
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == c.WSAECONNRESET
        missing = set(groups)

        def is_last(frame: Frame) -> bool:
            missing.difference_update([group for group in groups if is_leave(frame, group)])
            return not missing

        link.until_frame(is_last)


class Port:
    """The switch's port of one host, as that host sees it: what comes between two messages for itself alone."""

    def __init__(self, place: Place, speaker: Place, family: int) -> None:
        self._family = family
        with place:
            self._sniffer = Sniffer()
        with speaker:
            self._index = socket.if_nametoindex("eth0")
            self._sock = socket.socket(AF[family], socket.SOCK_DGRAM)
        self._host = address_of(place, family)
        self._marks = itertools.count()

    def frames_of(self, speak: Callable[[], object]) -> list[Frame]:
        """Return the frames for groups that come up to a mark, which is sent when all has been said and heard."""
        speak()
        mark = b"mark %d" % next(self._marks)
        self._sock.sendto(mark, (self._host, PORT))
        frames = self._sniffer.until_frame(lambda frame: frame.data.endswith(mark))
        return [frame for frame in frames if frame.protocol == UDP and ip_address(frame.to).is_multicast]

    def wait_until_busy(self, speak: Callable[[], object]) -> None:
        """Go on speaking until something comes: the switch learns of a member a moment after he has joined."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.frames_of(speak):
            assert time.monotonic() < deadline, "the switch sends nothing here"

    def wait_until_quiet(self, speak: Callable[[], object]) -> None:
        """Go on speaking until nothing of it comes any more; what came late of an earlier time doesn't matter."""
        deadline, quiet = time.monotonic() + PATIENCE_S, 0
        while quiet < QUIET:
            assert time.monotonic() < deadline, "the switch goes on sending"
            quiet = 0 if self.frames_of(speak) else quiet + 1

    def send_to_nobody(self) -> None:
        """Send to a group that no host has joined."""
        to = (NOBODYS[self._family], PORT)
        self._sock.sendto(b"is there anybody?", to if self._family == c.AF_INET else (*to, 0, self._index))


class Company(NamedTuple):
    """Who speaks on a switch, who hears him to the end, who stops hearing; ``leave`` is how."""

    speaker: MultipointSocket
    stayer: MultipointSocket
    leave: Callable[[], None]
    group: str


def speak_until_heard(company: Company) -> None:
    """The switch learns of a member a moment after he has joined."""
    deadline = time.monotonic() + PATIENCE_S
    # Not as often as one can: nobody reads at the port meanwhile, and what is to be seen there later must find room.
    company.stayer.options.receive_timeout_s = BETWEEN_HELLOS_S
    company.speaker.send(b"hello")
    while code_or_none(company.stayer.receive) == c.WSAETIMEDOUT:
        assert time.monotonic() < deadline, "nothing is heard"
        company.speaker.send(b"hello")
    company.stayer.options.receive_timeout_s = PATIENCE_S


def say(company: Company, words: bytes) -> None:
    """Let the speaker say something, and somebody who stays hear it."""
    company.speaker.send(words)
    while company.stayer.receive()[0] != words:
        pass


def a_session(places: list[Place], stacks: list[Stack], provider: ProviderClass, family: int) -> Company:
    """The root speaks; a leaf closes its socket."""
    root = a_session_root(places[0], stacks[0], provider, family)
    _, stayer = admitted(places[0], root, places[1], stacks[1])
    _, leaver = admitted(places[0], root, places[2], stacks[2])
    return Company(root, stayer, leaver.close, GROUPS[family])


def an_expulsion(places: list[Place], stacks: list[Stack], provider: ProviderClass, family: int) -> Company:
    """The root speaks, and closes the leg of a leaf that does nothing."""
    root = a_session_root(places[0], stacks[0], provider, family)
    _, stayer = admitted(places[0], root, places[1], stacks[1])
    leg, _ = admitted(places[0], root, places[2], stacks[2])
    return Company(root, stayer, leg.close, GROUPS[family])


def plain_members(places: list[Place], stacks: list[Stack], provider: ProviderClass, family: int) -> Company:
    """Somebody speaks to a group or channel; one of two hearers closes his socket."""
    is_channel = provider is ProviderClass.SSM
    group = CHANNELS[family] if is_channel else GROUPS[family]
    hearing = JoinRequest(JoinRole.RECEIVER_ONLY, sources=(address_of(places[0], family),) if is_channel else ())
    roles = (JoinRequest(JoinRole.SENDER_ONLY), hearing, hearing)
    members: list[MultipointSocket] = []
    for place, stack, request in zip(places, stacks, roles, strict=True):
        with place:
            flags = SOURCE if is_channel and not members else LEAF
            sock = stack.socket(family, c.SOCK_DGRAM, PROTOCOLS[provider], None, flags | c.WSA_FLAG_OVERLAPPED)
            sock.options.receive_timeout_s = PATIENCE_S
            sock.join((group, PORT), request)
            members.append(sock)
    speaker, stayer, leaver = members
    return Company(speaker, stayer, leaver.close, group)


@pytest.mark.requirement("DP-39", "CL-07", "CL-08", "CL-17", "DP-26")
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("gather", "provider"),
    [
        pytest.param(a_session, ProviderClass.P2MP, id="point to multipoint"),
        pytest.param(a_session, ProviderClass.CONF, id="conference"),
        pytest.param(an_expulsion, ProviderClass.P2MP, id="sent away"),
        pytest.param(plain_members, ProviderClass.MCAST, id="plain group"),
        pytest.param(plain_members, ProviderClass.SSM, id="channel"),
    ],
)
@isolated
def test_switch_stops_copying_data_to_a_host_that_left(
    gather: Callable[[list[Place], list[Stack], ProviderClass, int], Company], provider: ProviderClass, family: int
) -> None:
    switch = Switch(3)
    with ExitStack() as open_stacks:
        stacks = [open_stacks.enter_context(Stack()) for _ in switch.places]
        port = Port(switch.places[2], switch.places[0], family)
        port.wait_until_quiet(port.send_to_nobody)
        company = gather(switch.places, stacks, provider, family)
        speak_until_heard(company)
        port.wait_until_busy(lambda: say(company, b"while both are here"))
        company.leave()
        port.wait_until_quiet(lambda: say(company, b"when one has left"))
