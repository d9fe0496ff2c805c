"""Prove that a bridge's snooping is in force: a group frame that nobody asked for reaches no port.

The bridge itself sends two frames, one to the group, one to 224.0.0.x (ff02::1), which every bridge must flood. They
leave each port in that order, so when the second is seen at a port, the first has been there or never comes.

May not know: plans, nodes. The caller is in the namespace that holds the bridge.
"""

import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from joinlab.ring import INTERFACE_AT, WHOLE_FRAME, attach_filter

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
PACKET_OUTGOING = 4
UDP = 17
DISCARD = 9  # the port where nothing listens, RFC 863
SENDER_ADDRESS = b"\x02jlp\0\0"  # locally administered, and no node's
# The keeper does nothing else meanwhile, and doesn't see that the harness has gone.
DEADLINE_S = 3.0
# The longest that one pair of frames is waited for before the next is sent; a port may just be coming up.
PATIENCE_S = 0.02
# Ports that are watched at a time: the kernel's default receive buffer, which an ordinary user can't enlarge, holds
# 277 small frames, and there are two at each port.
WATCHED = 100
# Classic BPF, see ring.py.
LOAD_WORD, LOAD_HALF, JUMP_EQUAL, JUMP_MORE, JUMP_AT_LEAST, RETURN = 0x20, 0x28, 0x15, 0x25, 0x35, 0x06
SOURCE_ADDRESS_AT = 6
# Between two pairs when the first was flooded. The longest presets count after 10 ms, see fabric.SHORTEST_RESPONSE_CS.
PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class Probe:
    """A pair of groups: one that snooping must hold back, and the control that it must not."""

    version: int
    group: str
    control: str


# 239.255/16 and ff05 are of the site's own scope, and no test is given these. 224.0.0/24 is always flooded; of IPv6
# groups ff02::1 alone is (the kernel snoops even ff02::2).
PROBES = {
    4: Probe(4, "239.255.255.250", "224.0.0.250"),
    6: Probe(6, "ff05::fffa", "ff02::1"),
}


class NotInForce(Exception):
    """The snooping let a group frame through, or the ports carried nothing, until the deadline."""


def wait_until_in_force(bridge: str, ports: Collection[int], version: int, *, snooping: bool) -> int:
    """Probe until the bridge forwards the control to all ``ports`` and holds the group back; returns the rounds.

    Without snooping only the control counts. Raises NotInForce.
    """
    deadline = time.monotonic() + DEADLINE_S
    ordered = sorted(ports)
    rounds = 0
    with _sender() as sender, _listener() as listener:
        for start in range(0, len(ordered), WATCHED):
            watched = ordered[start : start + WATCHED]
            attach_filter(listener, _filter(watched[0], watched[-1]))
            rounds += _wait(sender, listener, bridge, watched, PROBES[version], snooping, deadline)
    return rounds


def _wait(
    sender: socket.socket,
    listener: socket.socket,
    bridge: str,
    ports: Sequence[int],
    probe: Probe,
    snooping: bool,
    deadline: float,
) -> int:
    for number in itertools.count(1):
        token = os.urandom(8)
        _send(sender, bridge, probe, token)
        reached, flooded = _watch(listener, probe, token, frozenset(ports))
        if reached == set(ports) and not (snooping and flooded):
            return number
        if time.monotonic() > deadline:
            raise NotInForce(_explain(bridge, probe.version, len(ports), len(reached), len(flooded)))
        time.sleep(PAUSE_S)
    raise AssertionError("unreachable: the deadline ends it")


def _explain(bridge: str, version: int, ports: int, reached: int, flooded: int) -> str:
    if reached < ports:
        return (
            f"bridge {bridge} carried an IPv{version} frame for all to {reached} of {ports} ports in {DEADLINE_S:g} s"
        )
    return f"bridge {bridge} still floods IPv{version} groups to {flooded} of {ports} ports after {DEADLINE_S:g} s"


def _watch(listener: socket.socket, probe: Probe, token: bytes, ports: frozenset[int]) -> tuple[set[int], set[int]]:
    """Return the ports that the control reached, and those that the group's frame did."""
    reached: set[int] = set()
    flooded: set[int] = set()
    until = time.monotonic() + PATIENCE_S
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    while reached != ports and (left := until - time.monotonic()) > 0:
        if not waiting.poll(left * 1000):
            break
        data, (name, _, kind, _, _) = listener.recvfrom(2048)
        index = socket.if_nametoindex(name)
        if kind == PACKET_OUTGOING and index in ports and data.endswith(token):
            (reached if _destination(data, probe.version) == probe.control else flooded).add(index)
    return reached, flooded


def _listener() -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))


def _filter(lowest: int, highest: int) -> bytes:
    """Return the kernel's filter: the prober's own frames on interfaces of that range of indexes."""
    instruction = struct.Struct("=HBBI").pack
    own = struct.unpack("!IH", SENDER_ADDRESS)
    return b"".join(
        (
            instruction(LOAD_WORD, 0, 0, INTERFACE_AT),
            instruction(JUMP_AT_LEAST, 0, 6, lowest),
            instruction(JUMP_MORE, 5, 0, highest),
            instruction(LOAD_WORD, 0, 0, SOURCE_ADDRESS_AT),
            instruction(JUMP_EQUAL, 0, 3, own[0]),
            instruction(LOAD_HALF, 0, 0, SOURCE_ADDRESS_AT + 4),
            instruction(JUMP_EQUAL, 0, 1, own[1]),
            instruction(RETURN, 0, 0, WHOLE_FRAME),
            instruction(RETURN, 0, 0, 0),
        )
    )


def _sender() -> socket.socket:
    """Open a second socket: the kernel doesn't show a socket what it sent itself."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def _send(sender: socket.socket, bridge: str, probe: Probe, token: bytes) -> None:
    for destination in (probe.group, probe.control):
        sender.sendto(_frame(probe.version, destination, token), (bridge, 0))


def _frame(version: int, destination: str, token: bytes) -> bytes:
    payload = struct.pack("!HHHH", DISCARD, DISCARD, 8 + len(token), 0) + token
    if version == 4:
        group = socket.inet_aton(destination)
        card = b"\x01\x00\x5e" + bytes([group[1] & 0x7F]) + group[2:]
        return card + SENDER_ADDRESS + struct.pack("!H", ETH_P_IP) + _ipv4(group, payload) + payload
    group = socket.inet_pton(socket.AF_INET6, destination)
    header = struct.pack("!IHBB", 0x60000000, len(payload), UDP, 1) + bytes(16) + group
    return b"\x33\x33" + group[12:] + SENDER_ADDRESS + struct.pack("!H", ETH_P_IPV6) + header + payload


def _ipv4(group: bytes, payload: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 1, UDP, 0, bytes(4), group)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:]


def _destination(data: bytes, version: int) -> str:
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, data[30:34])
    return socket.inet_ntop(socket.AF_INET6, data[38:54])
