"""Bytes from the network give a message or the decoding error, nothing else, whatever they are.

    python tests/fuzz/hostile_bytes.py [number of inputs] [seed]

Runs under atheris where it is installed (coverage guides it, its options follow), else on seeded random changes to
right messages, two million in a minute or so. What breaks the rule is printed with the bytes that did it.
"""

import contextlib
import random
import sys
import time

from multipoint import wire
from multipoint.datagram import Authenticator, Datagram, decode_datagram, encode_datagram
from multipoint.errors import DecodingError, MultipointError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import objects, pack_object
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6, WSAPROTOCOL_INFO
from multipoint.wire import Endpoint

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
]
STRUCTURES = (FLOWSPEC, QOS, SOCKADDR_IN, SOCKADDR_IN6, WSAPROTOCOL_INFO)


def one_input(data: bytes) -> None:
    """Give the bytes to everything that reads bytes; what it raises beyond the decoding error is the finding."""
    for start in (b"", HELLO):
        decoder = wire.Decoder()
        decoder.feed(start + data)
        with contextlib.suppress(DecodingError):
            for message in decoder.messages():
                assert wire.encode(message)
    with contextlib.suppress(DecodingError):
        decode_datagram(data)
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


if __name__ == "__main__":
    try:
        import atheris
    except ImportError:
        count, seed, *_ = (*map(int, sys.argv[1:]), *(100_000, 1)[len(sys.argv) - 1 :])
        main(count, seed)
    else:
        atheris.instrument_all()
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
