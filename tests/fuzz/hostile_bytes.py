"""Bytes from the network or a program give a message or the decoding error, nothing else, whatever they are.

    python tests/fuzz/hostile_bytes.py [number of inputs] [seed]
    python tests/fuzz/hostile_bytes.py --atheris [options of libFuzzer, such as -runs=1000000]

By itself it tries seeded random changes to right messages; with --atheris, coverage guides it on from them
(pip install -e '.[fuzz]').
What breaks the rule is printed with the bytes that did it. The first byte chooses in which state two links, one without
and one with a pre-shared key, hear the rest. It goes to everything else that reads bytes too: the control stream, whole
and cut in two, with and without a Hello; datagrams; the C structures of quality of service, addresses and group
filters; provider-specific objects and the rules for flows; names and flows that a program hands over. The answers of
the kernel (``interfaces``) are not hostile, and left out.
"""

import contextlib
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from multipoint import group_layouts, layouts, pointers, winsock, wire
from multipoint.constants import (
    AF_INET,
    AF_INET6,
    QOS_OBJECT_END_OF_LIST,
    QOS_OBJECT_SD_MODE,
    RSVP_OBJECT_ADSPEC,
)
from multipoint.datagram import Authenticator, Datagram, ReplayWindow, decode_datagram, encode_datagram
from multipoint.errors import DecodingError, MultipointError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import check_reduced, is_valid, objects, pack_object
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6, WSAPROTOCOL_INFO
from multipoint.link import Link, Patience
from multipoint.link_events import Agreed, FlowsAsked, Requested
from multipoint.link_states import State
from multipoint.wire import Endpoint

HELLO = wire.encode(wire.Hello())
ROW = (
    pack_object(RSVP_OBJECT_ADSPEC, b"")
    + pack_object(QOS_OBJECT_SD_MODE, bytes(4))
    + pack_object(QOS_OBJECT_END_OF_LIST, b"")
)
FLOWS = QOS.of(FLOWSPEC(TokenRate=1), FLOWSPEC(), ROW)
ASKED = (ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH)
HOME, GROUP = Endpoint("10.0.0.2", 5000), Endpoint("ff15::1", 5000)
JOIN = wire.Join(*ASKED, HOME, 1024, b"hello", FLOWS)
INVITE = wire.Invite(*ASKED, 1, 0, b"", FLOWS)
ACCEPT = wire.Accept(Plane.LEAF, Plane.LEAF, HOME, b"hi", FLOWS)
MEMBERSHIP = wire.Membership(1, 2, GROUP, HOME, bytes(32), bytes(32), 1, 2)
CONFIRM = wire.Confirm(MEMBERSHIP)
KEY = bytes(32)
# By whether its speaker is the one who connected.
PROOFS = {is_caller: wire.Proof(wire.make_proof(KEY, is_caller, bytes(16), bytes(16))) for is_caller in (True, False)}
GREETINGS = {
    is_caller: wire.encode(wire.Hello(wants_proof=True)) + wire.encode(PROOFS[is_caller]) for is_caller in PROOFS
}
RIGHT = [
    HELLO,
    *GREETINGS.values(),
    wire.encode(JOIN),
    wire.encode(INVITE),
    wire.encode(ACCEPT),
    wire.encode(CONFIRM),
    wire.encode(wire.Reject(10061)),
    wire.encode(wire.Cancel()),
    wire.encode(wire.Close(b"end")),
    wire.encode(wire.FlowRequest(1, FLOWS)) + wire.encode(wire.Leave(b"bye")),
    wire.encode(wire.FlowAnswer(1, 0, FLOWS)),
    wire.encode(wire.Chat(b"psst")) + wire.encode(wire.Heartbeat()) + wire.encode(wire.Leave(b"bye")),
    encode_datagram(Datagram(1, 2, 3, b"payload"), Authenticator(bytes(32))),
    FLOWS.pack(),
    ROW,
    SOCKADDR_IN(5, "239.1.1.1").pack() + SOCKADDR_IN(0, "10.0.0.1").pack(),
    SOCKADDR_IN6(5, "ff15::1").pack() + SOCKADDR_IN6(0, "fd00::1").pack(),
    group_layouts.GROUP_FILTER(1, SOCKADDR_IN(5, "239.1.1.1"), 0, [SOCKADDR_IN(0, "10.0.0.1")]).pack(),
    group_layouts.IP_MSFILTER("239.1.1.1", "10.0.0.2", 0, ["10.0.0.1"]).pack(),
]
STRUCTURES: tuple[Callable[[bytes], object], ...] = (
    FLOWSPEC.unpack,
    QOS.unpack,
    SOCKADDR_IN.unpack,
    SOCKADDR_IN6.unpack,
    WSAPROTOCOL_INFO.unpack,
    partial(WSAPROTOCOL_INFO.unpack, wide=True),
    layouts.WSADATA.unpack,
    layouts.WSANETWORKEVENTS.unpack,
    layouts.LINGER.unpack,
    group_layouts.unpack_storage,
    group_layouts.IP_MREQ.unpack,
    group_layouts.IP_MREQ_SOURCE.unpack,
    group_layouts.IPV6_MREQ.unpack,
    group_layouts.GROUP_REQ.unpack,
    group_layouts.GROUP_SOURCE_REQ.unpack,
    group_layouts.IP_MSFILTER.unpack,
    group_layouts.GROUP_FILTER.unpack,
)
PATIENCE = Patience()
STRANGER = Authenticator(bytes(32))


class Situation(NamedTuple):
    """A link that hears the bytes: on which side, what it has asked, whether the greeting is over, what it heard."""

    is_root: bool
    request: wire.Join | wire.Invite | None = None
    is_greeted: bool = True
    heard: bytes = b""


SITUATIONS = (
    Situation(is_root=True, is_greeted=False),
    Situation(is_root=False, is_greeted=False),
    Situation(is_root=True, request=INVITE, is_greeted=False),
    Situation(is_root=False, request=JOIN, is_greeted=False),
    Situation(is_root=True),
    Situation(is_root=False),
    Situation(is_root=True, request=INVITE),
    Situation(is_root=False, request=JOIN),
    Situation(is_root=False, request=JOIN, heard=wire.encode(ACCEPT)),
    Situation(is_root=True, heard=wire.encode(JOIN)),
    Situation(is_root=True, request=INVITE, heard=wire.encode(ACCEPT)),
    Situation(is_root=False, request=JOIN, heard=wire.encode(ACCEPT) + wire.encode(CONFIRM)),
)


def one_input(data: bytes) -> None:
    """Give the bytes to everything that reads bytes; what it raises beyond the decoding error is the finding."""
    situation, rest = SITUATIONS[data[0] % len(SITUATIONS)] if data else SITUATIONS[0], data[1:]
    for key in (None, KEY):
        hear(situation, key, rest)
    for reader in (read_stream, read_datagram, read_structures, read_rows, read_names):
        reader(rest)


def read_stream(data: bytes) -> None:
    """Decode as the beginning of a control connection, and as what follows a Hello, whole and cut in two."""
    for start in (b"", HELLO):
        whole = start + data
        middle = len(whole) // 2
        messages = said([whole])
        assert messages == said([whole[:middle], whole[middle:]]), "a cut made a difference"
        assert whole.startswith(b"".join(map(wire.encode, messages))), "what was read is written otherwise"


def said(pieces: list[bytes]) -> list[wire.Message]:
    """Return the messages in a stream, up to what is none."""
    decoder, messages = wire.Decoder(), []
    with contextlib.suppress(DecodingError):
        for piece in pieces:
            decoder.feed(piece)
            for message in decoder.messages():
                messages.append(message)
    return messages


def hear(situation: Situation, key: bytes | None, data: bytes) -> None:
    """Say it to a link in this situation, whose program agrees to everything."""
    is_root, request, is_greeted, heard = situation
    link = Link(is_root=is_root, peer=HOME, patience=PATIENCE, now=0.0, request=request)
    link.introduce(key, bytes(16))
    if request:
        link.opened(0.0)
    if is_greeted:
        link.receive((HELLO if key is None else GREETINGS[request is None]) + heard, 0.0)
        agree(link)
    link.receive(data, 0.0)
    agree(link)
    link.hung_up(0.0)


def agree(link: Link) -> None:
    """Do what the sockets do with what a link tells, and say yes."""
    for event in link.events():
        match event:
            case Requested(request) if link.state is State.QUEUED and is_valid(request.qos):
                link.admit(ACCEPT, 0.0)
                if link.is_root:
                    link.confirm(MEMBERSHIP, 0.0)
            case Agreed() if link.state is State.AGREED:
                link.confirm(MEMBERSHIP, 0.0)
            case FlowsAsked(number, qos):
                link.answer_flows(number, 0, qos, 0.0)


def read_datagram(data: bytes) -> None:
    """Read the header of a datagram, check its tag, and look it up among those that came."""
    with contextlib.suppress(DecodingError):
        datagram = decode_datagram(data)
        STRANGER.is_genuine(data)
        window = ReplayWindow()
        assert window.admit(3)
        assert window.admit(datagram.sequence) is (datagram.sequence != 3)
        assert not window.admit(datagram.sequence)


def read_structures(data: bytes) -> None:
    """Read each of the C structures."""
    for read in STRUCTURES:
        with contextlib.suppress(DecodingError):
            read(data)


def read_rows(data: bytes) -> None:
    """Read provider-specific objects, and judge flows."""
    with contextlib.suppress(MultipointError):
        list(objects(data))
    with contextlib.suppress(DecodingError):
        if is_valid(flows := QOS.unpack(data)):
            with contextlib.suppress(MultipointError):
                check_reduced(FLOWS, flows)


def read_names(data: bytes) -> None:
    """Read what a program hands over as an address, as sources and as flows."""
    for family in (AF_INET, AF_INET6):
        for read in (pointers.read_name, pointers.read_sources):
            with contextlib.suppress(MultipointError):
                read(data, len(data), family)
    with contextlib.suppress(MultipointError):
        pointers.read_qos(data)
    with contextlib.suppress(DecodingError):
        winsock.address(data)


def changed(choose: random.Random) -> bytes:
    """Return a situation, and a right message with some bytes changed, cut, doubled or put in from another one."""
    data = bytearray(choose.choice(RIGHT))
    for _ in range(choose.randrange(6)):
        place, other = choose.randrange(len(data) + 1), choose.choice(RIGHT)
        match choose.randrange(4):
            case 0 if place < len(data):
                data[place] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
            case 1:
                del data[place:]
            case 2:
                data[place:place] = data[:place]
            case _:
                data[place : place + 4] = other[choose.randrange(len(other)) :]
    return bytes([choose.randrange(256)]) + data[:4096]


def main(count: int, seed: int) -> None:
    """Try so many inputs."""
    choose, start = random.Random(seed), time.monotonic()
    for number in range(count):
        data = changed(choose)
        try:
            one_input(data)
        except Exception:
            print(f"input {number} of seed {seed}: {data.hex()}")
            raise
    print(f"{count:,} inputs of seed {seed} in {time.monotonic() - start:.0f} s: messages and decoding errors only")


def explore(arguments: list[str]) -> None:
    """Let coverage guide the inputs, one in eight of which is a changed right message; does not return."""
    import atheris

    def another(data: bytes, most: int, seed: int) -> bytes:
        choose = random.Random(seed)
        return atheris.Mutate(data, most) if choose.randrange(8) else changed(choose)[:most]

    atheris.instrument_all()
    # A right message is longer than what libFuzzer would try at first.
    atheris.Setup([arguments[0], "-len_control=0", *arguments[1:]], one_input, custom_mutator=another)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--atheris"]:
        explore([sys.argv[0], *sys.argv[2:]])
    else:
        count, seed, *_ = (*map(int, sys.argv[1:]), *(100_000, 1)[len(sys.argv) - 1 :])
        main(count, seed)
