"""Networks for the stack's tests: a test's body runs in a forked child that has network namespaces of its own.

pytest's own process never changes its namespaces. As root a network namespace is enough, an ordinary user gets a user
namespace with it. ``isolated`` gives a loopback; ``Pair`` two namespaces joined by a link: what a thread does inside
``with pair.left:`` happens in that namespace.
"""

import contextlib
import ctypes
import fcntl
import functools
import logging
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ParamSpec

P = ParamSpec("P")

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 0x1
# An address that may be used at once: nobody else can have it here.
IFA_F_NODAD = 0x02
# A body is done in a fraction of a second; one that hangs must not outlive the test.
BODY_LIMIT_S = 30

_libc = ctypes.CDLL(None, use_errno=True)


def isolated(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test in a child with a network namespace of its own, in which only the loopback stands."""

    @functools.wraps(test)
    def forked(*args: P.args, **kwargs: P.kwargs) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _run(writing, lambda: test(*args, **kwargs))
        os.close(writing)
        with os.fdopen(reading) as report:
            story = report.read()
        _, status = os.waitpid(child, 0)
        assert status == 0, story or f"the child ended with status {status}"

    return forked


def enter_new_namespaces() -> None:
    """Leave for a network namespace of one's own, and bring its loopback up."""
    user, group = os.getuid(), os.getgid()
    _check(_libc.unshare(CLONE_NEWNET if user == 0 else CLONE_NEWUSER | CLONE_NEWNET))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _bring_up("lo")


def enter_another_namespace() -> None:
    """Leave for one more network namespace, as root of those that there are."""
    _check(_libc.unshare(CLONE_NEWNET))
    _bring_up("lo")


class Place:
    """A network namespace; inside ``with`` the calling thread, and threads it starts, are in it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.address6 = f"fd09::{address.rpartition('.')[2]}"
        self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._outside: list[int] = []

    def __enter__(self) -> "Place":
        self._outside.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        _check(_libc.setns(self.descriptor, CLONE_NEWNET))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        outside = self._outside.pop()
        _check(_libc.setns(outside, CLONE_NEWNET))
        os.close(outside)

    def equip(self) -> None:
        """Give its eth0 the addresses, and a route for groups."""
        # pyroute2 takes a tenth of a second to load; most tests here need no link.
        from pyroute2 import IPRoute

        with self, IPRoute() as routes:
            (index,) = routes.link_lookup(ifname="eth0")
            routes.addr("add", index=index, address=self.address, prefixlen=24)
            routes.addr("add", index=index, address=self.address6, prefixlen=64, flags=IFA_F_NODAD)
            routes.link("set", index=index, state="up")
            routes.route("add", dst="224.0.0.0/4", oif=index)

    def has_joined(self, group: str) -> bool:
        """Tell whether the kernel's table has a member of the group here."""
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        packed = socket.inet_pton(family, group)
        if family == socket.AF_INET6:
            table, wanted = "igmp6", packed.hex()
        else:
            table, wanted = "igmp", packed[::-1].hex().upper()
        with self:
            return wanted in Path(f"/proc/thread-self/net/{table}").read_text()

    def has_bound(self, port: int) -> bool:
        """Tell whether a UDP socket is bound to a port here."""
        with self:
            tables = [Path(f"/proc/thread-self/net/{table}").read_text() for table in ("udp", "udp6")]
        rows = [row.split() for table in tables for row in table.splitlines()[1:]]
        return any(row[1].endswith(f":{port:04X}") for row in rows)


class Pair:
    """Two namespaces joined by a link, eth0 on both sides, with a route for groups. Make it inside ``isolated``."""

    def __init__(self) -> None:
        self.left = Place("10.9.0.1")
        enter_another_namespace()
        self.right = Place("10.9.0.2")
        self._join()
        self._wait_until_it_carries()

    def _join(self) -> None:
        from pyroute2 import IPRoute

        with self.left, IPRoute() as routes:
            routes.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth0", "net_ns_fd": self.right.descriptor})
        for place in (self.left, self.right):
            place.equip()

    def _wait_until_it_carries(self) -> None:
        """Send until something arrives: for a moment after both ends are up, the kernel drops what is sent."""
        with self.right, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind((self.right.address, 0))
            listener.settimeout(0.005)
            with self.left, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
                while True:
                    speaker.sendto(b"there?", listener.getsockname())
                    with contextlib.suppress(TimeoutError):
                        listener.recv(10)
                        return


class Faults(logging.Handler):
    """What the stack logs as a fault of its own: it goes on then, and a test might not notice."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []
        logging.getLogger("multipoint").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, with its traceback."""
        self.told.append(logging.Formatter().format(record))


def _run(writing: int, body: Callable[[], None]) -> None:
    """Be the child: run the body, tell how it failed, and end without pytest's own clean-up."""
    status = 1
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(BODY_LIMIT_S)
        enter_new_namespaces()
        faults = Faults()
        body()
        assert not faults.told, "\n".join(faults.told)
        status = 0
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        sys.stdout.flush()
        os._exit(status)


def _bring_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh22x", name.encode(), 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags | IFF_UP))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
