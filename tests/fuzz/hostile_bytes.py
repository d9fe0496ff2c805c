"""Bytes from the network or a program give a message or the decoding error, nothing else, whatever they are.

    python tests/fuzz/hostile_bytes.py [number of inputs] [seed]
    python tests/fuzz/hostile_bytes.py --atheris [options of libFuzzer, such as -runs=1000000]

By itself it tries seeded random changes to right messages; with --atheris, coverage guides it
(pip install -e '.[fuzz]').
What breaks the rule is printed with the bytes that did it. Each input goes to everything that reads bytes: the control
stream, whole and cut in two, with and without a Hello; a link in each role; datagrams; the C structures of quality of
service, addresses and group filters; provider-specific objects.
"""

import contextlib
import random
import sys
import time
from typing import Protocol

from multipoint import group_layouts, wire
from multipoint.datagram import Authenticator, Datagram, decode_datagram, encode_datagram
from multipoint.errors import DecodingError, MultipointError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import objects, pack_object
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.layouts import LINGER, SOCKADDR_IN, SOCKADDR_IN6, WSAPROTOCOL_INFO
from multipoint.link import Link, Patience
from multipoint.wire import Endpoint


class Structure(Protocol):
    """What a C structure can do with bytes."""

    def unpack(self, data: bytes) -> object:
        """Read the structure from the beginning of ``data``."""


HELLO = wire.encode(wire.Hello())
ROW = pack_object(2002, bytes(4)) + pack_object(2001, b"")
FLOWS = QOS.of(FLOWSPEC(TokenRate=1), FLOWSPEC(), ROW)
ASKED = (ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH)
HOME, GROUP = Endpoint("10.0.0.2", 5000), Endpoint("ff15::1", 5000)
RIGHT = [
    HELLO,
    wire.encode(wire.Join(*ASKED, HOME, 1024, b"hello", FLOWS)),
    wire.encode(wire.Invite(*ASKED, 1, 0, b"", FLOWS)),
    wire.encode(wire.Accept(Plane.LEAF, Plane.LEAF, HOME, b"hi", FLOWS)),
    wire.encode(wire.Confirm(wire.Membership(1, 2, GROUP, HOME, bytes(32), bytes(32), 1, 2))),
    wire.encode(wire.FlowAnswer(1, 0, FLOWS)),
    wire.encode(wire.Chat(b"psst")) + wire.encode(wire.Heartbeat()) + wire.encode(wire.Leave(b"bye")),
    encode_datagram(Datagram(1, 2, 3, b"payload"), Authenticator(bytes(32))),
    FLOWS.pack(),
    ROW,
    group_layouts.GROUP_FILTER(1, SOCKADDR_IN(5, "239.1.1.1"), 0, [SOCKADDR_IN(0, "10.0.0.1")]).pack(),
    group_layouts.IP_MSFILTER("239.1.1.1", "10.0.0.2", 0, ["10.0.0.1"]).pack(),
]
STRUCTURES: tuple[Structure, ...] = (
    FLOWSPEC,
    QOS,
    SOCKADDR_IN,
    SOCKADDR_IN6,
    WSAPROTOCOL_INFO,
    LINGER,
    group_layouts.IP_MREQ,
    group_layouts.IP_MREQ_SOURCE,
    group_layouts.IPV6_MREQ,
    group_layouts.GROUP_REQ,
    group_layouts.GROUP_SOURCE_REQ,
    group_layouts.IP_MSFILTER,
    group_layouts.GROUP_FILTER,
)
PATIENCE = Patience()
STRANGER = Authenticator(bytes(32))
KEY = bytes(32)
PROOF = wire.Proof(wire.make_proof(KEY, True, bytes(16), bytes(16)))
PROVED = wire.encode(wire.Hello(wants_proof=True)) + wire.encode(PROOF)


def one_input(data: bytes) -> None:
    """Give the bytes to everything that reads bytes; what it raises beyond the decoding error is the finding."""
    for reader in (read_stream, hear_on_links, read_datagram, read_structures):
        reader(data)


def read_stream(data: bytes) -> None:
    """Decode as the beginning of a control connection, and as what follows a Hello, whole and cut in two."""
    for start in (b"", HELLO):
        whole = start + data
        middle = len(whole) // 2
        assert said([whole]) == said([whole[:middle], whole[middle:]]), "a cut made a difference"


def said(pieces: list[bytes]) -> list[bytes]:
    """Return the messages in a stream, up to what is none; encoded again, for comparison."""
    decoder, messages = wire.Decoder(), []
    with contextlib.suppress(DecodingError):
        for piece in pieces:
            decoder.feed(piece)
            for message in decoder.messages():
                messages.append(wire.encode(message))
    return messages


def hear_on_links(data: bytes) -> None:
    """Say it to a root and to a leaf who have just taken a connection, without a key and after a right proof."""
    for is_root in (True, False):
        for key, greeting in ((None, HELLO), (KEY, PROVED)):
            link = Link(is_root=is_root, peer=HOME, patience=PATIENCE, now=0.0)
            link.introduce(key, bytes(16))
            link.receive(greeting + data, 0.0)
            link.events()


def read_datagram(data: bytes) -> None:
    """Read the header of a datagram, and check its tag."""
    with contextlib.suppress(DecodingError):
        decode_datagram(data)
        STRANGER.is_genuine(data)


def read_structures(data: bytes) -> None:
    """Read each of the C structures, and provider-specific objects."""
    for structure in STRUCTURES:
        with contextlib.suppress(DecodingError):
            structure.unpack(data)
    with contextlib.suppress(MultipointError):
        list(objects(data))


def changed(choose: random.Random) -> bytes:
    """Return a right message with some bytes changed, cut, doubled or put in from another one."""
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
    return bytes(data[:4096])


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
    """Let coverage guide the inputs; does not return."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--atheris"]:
        explore([sys.argv[0], *sys.argv[2:]])
    else:
        count, seed, *_ = (*map(int, sys.argv[1:]), *(100_000, 1)[len(sys.argv) - 1 :])
        main(count, seed)
