"""What the host's interfaces can do, asked of the kernel: state, speed, queueing disciplines; and notices of change.

Everything goes through netlink sockets, which stay in the network namespace in which they were opened, whichever thread
asks. What the settings say of an interface comes first (QS-34, QS-41). May not know: flows, promises, sockets.
"""

import contextlib
import ctypes
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from multipoint.admission import Ability
from multipoint.forks import close_in_child
from multipoint.values import Settings

NETLINK_ROUTE = 0
RTM_GETLINK = 18
RTM_GETQDISC = 38
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
GROUPS = 0x1 | 0x8  # RTMGRP_LINK, RTMGRP_TC
WORKS = 0x1 | 0x10000  # IFF_UP, IFF_LOWER_UP
IFLA_IFNAME = 3
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64 = 1, 4
TCA_NETEM_RATE, TCA_NETEM_RATE64, TCA_NETEM_LATENCY64 = 6, 8, 10
NETEM_HEAD = 24
SIOCETHTOOL, ETHTOOL_GSET, ETHTOOL_SIZE = 0x8946, 0x1, 44
UNKNOWN_SPEEDS = (0, 0xFFFF, 0xFFFFFFFF)
HEADER = struct.Struct("=IHHII")
# ifinfomsg and tcmsg both have the interface's index here.
INDEX = struct.Struct("=4xi")
LINK = struct.Struct("=BxHiII")
QDISC = struct.Struct("=BxHiIII")
READ_SIZE = 1 << 16

Attributes = dict[int, bytes]


class Interfaces:
    """Looks at interfaces in the namespace in which it was made."""

    def __init__(self, settings: Settings) -> None:
        self._capacities: dict[str, int | None] = dict(settings.capacities)
        self._delays_us = dict(settings.delays_us)
        self._asking = _netlink(0)

    def close(self) -> None:
        """Give up the socket."""
        self._asking.close()

    def configure(self, name: str, capacity: int | None) -> int:
        """Say what an interface can carry; None: what its link says. Returns its index. Raises OSError."""
        index = socket.if_nametoindex(name) if name else 0
        self._capacities[name] = capacity
        return index

    def look(self, index: int) -> Ability:
        """Return what the interface can do now; one that is not known, or is gone, without limits, or not up."""
        if not index:
            return Ability(self._capacities.get(""), self._capacities.get(""), self._delays_us.get("", 0))
        try:
            flags, name = self._state(index)
        except OSError:
            return Ability(is_up=False)
        told = self._capacities.get(name)
        queue = Queue()
        # A system that doesn't let us ask has no queue that we know of.
        with contextlib.suppress(OSError):
            queue = self._queue(index)
        speed = self._speed(name)
        return Ability(
            sending=told if told is not None else _least(queue.rate, speed),
            receiving=told if told is not None else speed,
            delay_us=self._delays_us.get(name, queue.delay_us),
            is_up=flags & WORKS == WORKS,
        )

    def _state(self, index: int) -> tuple[int, str]:
        for _, body in self._ask(RTM_GETLINK, 0, LINK.pack(0, 0, index, 0, 0)):
            name = _attributes(body[LINK.size :])[IFLA_IFNAME]
            return LINK.unpack_from(body)[3], name.rstrip(b"\0").decode()
        raise OSError("the kernel says nothing of the interface")

    def _queue(self, index: int) -> "Queue":
        """What the queueing disciplines of the interface do, all taken together."""
        rate, delay = None, 0
        for _, body in self._ask(RTM_GETQDISC, NLM_F_DUMP, QDISC.pack(0, 0, index, 0, 0, 0)):
            if INDEX.unpack_from(body)[0] == index:
                one = _discipline(_attributes(body[QDISC.size :]))
                rate, delay = _least(rate, one.rate), delay + one.delay_us
        return Queue(rate, delay)

    def _speed(self, name: str) -> int | None:
        """The link's speed in bytes a second, if it has one."""
        command = ctypes.create_string_buffer(struct.pack("=I", ETHTOOL_GSET), ETHTOOL_SIZE)
        request = struct.pack("16sP16x", name.encode(), ctypes.addressof(command))
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._asking, SIOCETHTOOL, request)
            low, high = struct.unpack_from("=H14xH", command, 12)
            megabits = high << 16 | low
            return None if megabits in UNKNOWN_SPEEDS else megabits * 1_000_000 // 8
        return None

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        self._asking.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 0, 0) + body)
        while True:
            for found, answer in _messages(self._asking.recv(READ_SIZE)):
                if found == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", answer)[0], "netlink")
                if found == NLMSG_DONE:
                    return
                yield found, answer
            if not flags & NLM_F_DUMP:
                return


class Notices:
    """Tells which interfaces have changed."""

    def __init__(self, on_change: Callable[[int | None], None], groups: int = GROUPS) -> None:
        """``on_change`` gets an interface's index, None if it may be any; of other groups it may be no index."""
        self._on_change = on_change
        self.sock = _netlink(groups)
        self.sock.setblocking(False)

    def ready(self, _: int) -> None:
        """Read what has come."""
        changed: set[int | None] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self.sock.recv(READ_SIZE)
                except BlockingIOError:
                    raise
                except OSError:
                    # More came than there was room for.
                    changed.add(None)
                else:
                    changed |= {INDEX.unpack_from(body)[0] for _, body in _messages(data) if len(body) >= INDEX.size}
        for index in changed:
            self._on_change(index)


class Queue(NamedTuple):
    """What a queueing discipline does: bytes a second at most, microseconds it holds back."""

    rate: int | None = None
    delay_us: int = 0


def _discipline(attributes: Attributes) -> Queue:
    options = attributes.get(TCA_OPTIONS, b"")
    match attributes.get(TCA_KIND, b"").rstrip(b"\0"):
        case b"tbf":
            return Queue(_tbf_rate(_attributes(options)))
        case b"netem":
            found = _attributes(options[NETEM_HEAD:])
            delay_ns = int.from_bytes(found.get(TCA_NETEM_LATENCY64, b""), "little", signed=True)
            rate = found.get(TCA_NETEM_RATE64) or found.get(TCA_NETEM_RATE, b"")[:4]
            return Queue(int.from_bytes(rate, "little") or None, delay_ns // 1000)
    return Queue()


def _tbf_rate(attributes: Attributes) -> int:
    # A tc_ratespec ends with its rate, which saturates where TCA_TBF_RATE64 says more.
    rate = attributes.get(TCA_TBF_RATE64) or attributes[TCA_TBF_PARMS][8:12]
    return int.from_bytes(rate, "little")


def _netlink(groups: int) -> socket.socket:
    sock = close_in_child(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE))
    sock.bind((0, groups))
    return sock


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each message that was read."""
    while len(data) >= HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[max(HEADER.size, length + 3 & ~3) :]


def _attributes(data: bytes) -> Attributes:
    found: Attributes = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[max(4, length + 3 & ~3) :]
    return found


def _least(*rates: int | None) -> int | None:
    return min((rate for rate in rates if rate is not None), default=None)
