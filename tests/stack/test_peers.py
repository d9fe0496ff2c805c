"""Programs that we did not write, on the other side of a link: the plain providers talk to them, both ways."""

import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.stack.network import Pair, Place, isolated
from tests.stack.people import LEAF, PATIENCE_S

from multipoint import constants as c
from multipoint.kinds import JoinRole
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest
from multipoint.wire import Endpoint

PORT = 5001
FAMILIES = {"IPv4": c.AF_INET, "IPv6": c.AF_INET6}
GROUPS = {c.AF_INET: "239.1.2.3", c.AF_INET6: "ff15::1"}
CHANNELS = {c.AF_INET: "232.1.2.3", c.AF_INET6: "ff35::1"}
SOURCE = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
ETH_P_ALL, PACKET_OUTGOING = 3, 4
EXCLUDE_NOBODY, INCLUDE_NOBODY, ONE_MORE, ONE_LESS = "4", "3", "5", "6"
PLAIN_LISTENER = """
import socket, struct, sys
group, port, index = sys.argv[1], int(sys.argv[2]), socket.if_nametoindex("eth0")
family = socket.AF_INET6 if ":" in group else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM)
sock.bind((group, port))
packed = socket.inet_pton(family, group)
if family == socket.AF_INET6:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("=I", index))
else:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4xi", packed, index))
data, sender = sock.recvfrom(100)
print(data.decode(), flush=True)
sock.sendto(b"answer", sender)
"""

on_both_families = pytest.mark.parametrize("family", list(FAMILIES.values()), ids=list(FAMILIES))


def needs(program: str) -> pytest.MarkDecorator:
    """Skip without this program, which has the name of its Debian package."""
    missing = shutil.which(program) is None
    return pytest.mark.skipif(missing, reason=f"{program} is not installed: apt-get install {program}")


@contextmanager
def running(place: Place, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Let a program run in a place; its output is there line by line."""
    with place:
        program = subprocess.Popen(
            ["stdbuf", "-oL", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def line_with(program: subprocess.Popen[str], words: str) -> str:
    """Wait for a line of its output that has these words."""
    assert program.stdout
    seen = []
    for line in program.stdout:
        if words in line:
            return line
        seen.append(line)
    raise AssertionError(f"no {words!r} in: {''.join(seen)}")


def wait_until_hearing(place: Place, group: str) -> None:
    """Wait until a program in this place hears the group: socat joins it first, and binds then."""
    deadline = time.monotonic() + PATIENCE_S
    while not (place.has_joined(group) and place.has_bound(PORT)):
        assert time.monotonic() < deadline, f"nobody hears {group}"
        time.sleep(0.005)


def a_pair(family: int) -> Pair:
    """Return two places that can send to groups of this family; IPv6 comes up a moment after the link."""
    pair, deadline = Pair(), time.monotonic() + PATIENCE_S
    for place in (pair.left, pair.right) if family == c.AF_INET6 else ():
        with place:
            while not any(
                line.startswith("ff00") and line.endswith("eth0")
                for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()
            ):
                assert time.monotonic() < deadline, "IPv6 does not come up"
                time.sleep(0.005)
    return pair


def joined(
    stack: Stack, family: int, group: str, role: JoinRole, *, sources: tuple[str, ...] = (), flags: int = LEAF
) -> MultipointSocket:
    """Return a socket that has joined a group at eth0; with sources, or as a source, a channel."""
    is_channel = bool(sources) or flags == SOURCE
    sock = stack.socket(family, c.SOCK_DGRAM, 301 if is_channel else c.IPPROTO_UDP, None, flags)
    sock.options.interface = socket.if_nametoindex("eth0")
    sock.options.receive_timeout_s = PATIENCE_S
    sock.join(Endpoint(group, PORT), JoinRequest(role, sources=sources))
    return sock


def address_of(place: Place, family: int) -> str:
    return place.address6 if family == c.AF_INET6 else place.address


def iperf_datagram(number: int) -> bytes:
    """Return a datagram as iperf numbers it; a negative number is the last one."""
    return struct.pack("!iII", number, int(time.time()), 0).ljust(200, b"\0")


@needs("iperf")
@pytest.mark.requirement("DP-01", "DP-03")
@on_both_families
@isolated
def test_iperf_sends_to_our_group(family: int) -> None:
    pair, group = a_pair(family), GROUPS[family]
    with pair.right, Stack() as stack:
        ours = joined(stack, family, group, JoinRole.RECEIVER_ONLY)
        domain = ["-V"] if family == c.AF_INET6 else []
        target = f"{group}%eth0" if domain else group
        with running(pair.left, "iperf", "-c", target, "-u", *domain, "-p", str(PORT), "-n", "2000", "-l", "200"):
            numbers: list[int] = []
            sender = ""
            while not numbers or numbers[-1] > 0:
                data, (sender, _) = ours.receive()
                numbers.append(int.from_bytes(data[:4], "big", signed=True))
            assert numbers[:10] == list(range(1, 11))
            assert sender == address_of(pair.left, family)


@needs("iperf")
@pytest.mark.requirement("DP-01", "DP-02", "DP-28")
@on_both_families
@pytest.mark.parametrize("is_channel", [False, True], ids=["any source", "one source"])
@isolated
def test_iperf_receives_from_our_socket(family: int, is_channel: bool) -> None:
    pair = a_pair(family)
    group, us = (CHANNELS if is_channel else GROUPS)[family], address_of(pair.right, family)
    options = ["-V"] if family == c.AF_INET6 else []
    options += ["-H", us] if is_channel else []
    with (
        running(pair.left, "iperf", "-s", "-u", *options, "-B", f"{group}%eth0", "-p", str(PORT)) as iperf,
        pair.right,
        Stack() as stack,
    ):
        wait_until_hearing(pair.left, group)
        ours = joined(stack, family, group, JoinRole.SENDER_ONLY, flags=SOURCE if is_channel else LEAF)
        for number in (*range(1, 11), -11):
            ours.send(iperf_datagram(number))
        # None lost; it counts the last one too.
        line_with(iperf, " 0/11 (0%)")


@needs("iperf")
@pytest.mark.requirement("DP-28", "JL-17")
@on_both_families
@isolated
def test_channel_hears_iperf_that_is_its_source(family: int) -> None:
    pair, group = a_pair(family), CHANNELS[family]
    with pair.right, Stack() as stack:
        there = address_of(pair.left, family)
        hearing = joined(stack, family, group, JoinRole.RECEIVER_ONLY, sources=(there,))
        domain = ["-V"] if family == c.AF_INET6 else []
        target = f"{group}%eth0" if domain else group
        with running(pair.left, "iperf", "-c", target, "-u", *domain, "-p", str(PORT), "-n", "400", "-l", "200"):
            assert hearing.receive()[1].host == there


@needs("socat")
@pytest.mark.requirement("DP-01", "DP-03")
@on_both_families
@isolated
def test_socat_both_ways(family: int) -> None:
    pair, group = a_pair(family), GROUPS[family]
    is_6 = family == c.AF_INET6
    shown = f"[{group}]" if is_6 else group
    hears = (
        f"UDP6-RECV:{PORT},ipv6-join-group={shown}:eth0" if is_6 else f"UDP4-RECV:{PORT},ip-add-membership={group}:eth0"
    )
    with running(pair.left, "socat", "-u", hears, "STDOUT") as socat, pair.right, Stack() as stack:
        wait_until_hearing(pair.left, group)
        ours = joined(stack, family, group, JoinRole.BOTH)
        ours.set_loopback(False)
        ours.send(b"hello socat\n")
        line_with(socat, "hello socat")
        with running(pair.left, "socat", "-u", "STDIN", f"UDP{6 if is_6 else 4}-DATAGRAM:{shown}:{PORT}") as speaker:
            assert speaker.stdin
            speaker.stdin.write("hello stack\n")
            speaker.stdin.flush()
            data, sender = ours.receive()
        assert (data, sender.host) == (b"hello stack\n", address_of(pair.left, family))


@pytest.mark.requirement("DP-01", "DP-02", "DP-03")
@on_both_families
@isolated
def test_plain_socket_hears_us_and_answers(family: int) -> None:
    pair, group = a_pair(family), GROUPS[family]
    with (
        running(pair.left, sys.executable, "-c", PLAIN_LISTENER, group, str(PORT)) as listener,
        pair.right,
        Stack() as stack,
    ):
        wait_until_hearing(pair.left, group)
        ours = joined(stack, family, group, JoinRole.BOTH)
        ours.set_loopback(False)
        ours.send(b"question")
        line_with(listener, "question")
        assert ours.receive()[0] == b"answer"


@needs("tshark")
@pytest.mark.requirement("JL-30", "CL-17", "DP-28")
@on_both_families
@isolated
def test_tshark_reads_our_joins_and_leaves(family: int) -> None:
    pair, group, channel = a_pair(family), GROUPS[family], CHANNELS[family]
    source = address_of(pair.left, family)
    with pair.left:
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        frames.settimeout(PATIENCE_S)
    captured: list[bytes] = []
    with frames, pair.right, Stack() as stack:
        for address, sources in ((group, ()), (channel, (source,))):
            kinds = (ONE_MORE, ONE_LESS) if sources else (EXCLUDE_NOBODY, INCLUDE_NOBODY)
            sock = joined(stack, family, address, JoinRole.RECEIVER_ONLY, sources=sources)
            capture_report(frames, address, kinds[0], captured)
            sock.close()
            capture_report(frames, address, kinds[1], captured)
    told = read_with_tshark(family, captured)
    assert {
        (EXCLUDE_NOBODY, group, ""),
        (INCLUDE_NOBODY, group, ""),
        (ONE_MORE, channel, source),
        (ONE_LESS, channel, source),
    } <= told


def capture_report(frames: socket.socket, group: str, kind: str, captured: list[bytes]) -> None:
    """Take frames that arrive until one reports this change of the group's filter."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    wanted = struct.pack("!BBH", int(kind), 0, kind in (ONE_MORE, ONE_LESS)) + socket.inet_pton(family, group)
    while not captured or wanted not in captured[-1]:
        frame, where = frames.recvfrom(2000)
        if where[2] != PACKET_OUTGOING:
            captured.append(frame)


def read_with_tshark(family: int, captured: list[bytes]) -> set[tuple[str, str, str]]:
    """Return type, group and source of each record of the membership reports, as tshark reads them."""
    fields = ("igmp.record_type", "igmp.maddr", "igmp.saddr")
    if family == c.AF_INET6:
        fields = tuple(f"icmpv6.mldr.mar.{name}" for name in ("record_type", "multicast_address", "source_address"))  # type: ignore[assignment]
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in captured:
            file.write(struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame)
        file.flush()
        command = ["tshark", "-n", "-r", file.name, "-T", "fields", *(part for name in fields for part in ("-e", name))]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    records = set()
    for line in told.splitlines():
        kinds, groups, sources = (part.split(",") for part in line.split("\t"))
        for kind, group in zip(kinds, groups, strict=True):
            # A record that changes the mode has no sources here; one that names sources has one.
            records.add((kind, group, sources.pop(0) if kind in (ONE_MORE, ONE_LESS) else ""))
    return records
