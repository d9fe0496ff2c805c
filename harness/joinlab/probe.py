"""Prove that a bridge's snooping is in force: a group frame that nobody asked for reaches no port.

The bridge itself sends two datagrams, one to the group, one to 224.0.0.x (ff02::1), which every bridge must flood. They
leave each port in that order, so when the second is seen at a port, the first has been there or never comes.

May not know: plans, nodes. The caller is in the namespace that holds the bridge.
"""

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from joinlab.ring import (
    ETH_P_ALL,
    ETH_P_IP,
    ETH_P_IPV6,
    ETHERTYPE_AT,
    INTERFACE_AT,
    JUMP_EQUAL,
    LOAD_HALF,
    LOAD_WORD,
    PACKET_OUTGOING,
    RETURN,
    WHOLE_FRAME,
    attach_filter,
)

DISCARD = 9  # the port where nothing listens, RFC 863
DEADLINE_S = 3.0
# The longest that one pair of datagrams is waited for before the next is sent; a port may just be coming up.
PATIENCE_S = 0.02
# Between two pairs when the first was flooded. The longest presets count after 10 ms, see fabric.SHORTEST_RESPONSE_CS.
PAUSE_S = 0.002
# Ports that are watched at a time: the kernel's default receive buffer, which an ordinary user can't enlarge, holds
# 277 small frames, and there are two at each port.
WATCHED = 100
TOKEN_SIZE = 8

# Classic BPF, as in ring.py.
JUMP_MORE, JUMP_AT_LEAST = 0x25, 0x35
INSTRUCTION = struct.Struct("=HBBI").pack
DEAF = INSTRUCTION(RETURN, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Probe:
    """A pair of groups: one that snooping must hold back, and the control that it must not."""

    family: int
    group: str
    control: str
    # How a frame of it looks: its ethertype, and where its destination and UDP port are.
    ethertype: int
    destination: slice
    port_at: int

    def is_control(self, frame: bytes) -> bool:
        """Tell whether a frame goes to the control's group."""
        return frame[self.destination] == socket.inet_pton(self.family, self.control)


# By IP version. 239.255/16 and ff05 are of the site's own scope, and no test is given these. 224.0.0/24 is always
# flooded; of IPv6 groups ff02::1 alone is (the kernel snoops even ff02::2).
PROBES = {
    4: Probe(socket.AF_INET, "239.255.255.250", "224.0.0.250", ETH_P_IP, slice(30, 34), 36),
    6: Probe(socket.AF_INET6, "ff05::fffa", "ff02::1", ETH_P_IPV6, slice(38, 54), 56),
}


class NotInForce(Exception):
    """The snooping let a group frame through, or the ports carried nothing, until the deadline."""


class Prober:
    """Probes bridges. Its packet socket stays open, deaf between probes: closing it costs the kernel 10 ms or more."""

    def __init__(self, between_rounds: Callable[[], None] = lambda: None) -> None:
        """``between_rounds`` is called again and again while a bridge is probed; what it raises ends the probing."""
        self._between_rounds = between_rounds
        self._listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        attach_filter(self._listener, DEAF)

    def close(self) -> None:
        """Close the socket."""
        self._listener.close()

    def wait_until_in_force(self, bridge: str, ports: Collection[int], version: int, *, snooping: bool) -> int:
        """Probe until the bridge forwards the control to all ``ports`` and holds the group back; returns the rounds.

        Without snooping only the control counts. Raises NotInForce.
        """
        deadline = time.monotonic() + DEADLINE_S
        probe, ordered, rounds = PROBES[version], sorted(ports), 0
        with _sender(bridge, probe) as sender, self._deaf_afterwards():
            for start in range(0, len(ordered), WATCHED):
                watched = ordered[start : start + WATCHED]
                attach_filter(self._listener, _filter(probe, watched[0], watched[-1]))
                for reached, flooded in self._rounds(sender, probe, frozenset(watched)):
                    rounds += 1
                    if reached == set(watched) and not (snooping and flooded):
                        break
                    if time.monotonic() > deadline:
                        what = f"bridge {bridge}, IPv{version}"
                        raise NotInForce(_explain(what, len(watched), len(reached), len(flooded)))
                    self._between_rounds()
        return rounds

    @contextlib.contextmanager
    def _deaf_afterwards(self) -> Iterator[None]:
        try:
            yield
        finally:
            attach_filter(self._listener, DEAF)

    def _rounds(
        self, sender: socket.socket, probe: Probe, ports: frozenset[int]
    ) -> Iterator[tuple[set[int], set[int]]]:
        """Send pairs of datagrams; yields for each the ports that the control reached and those that the group did."""
        while True:
            token = os.urandom(TOKEN_SIZE)
            for group in (probe.group, probe.control):
                sender.sendto(token, (group, DISCARD))
            yield self._watch(probe, token, ports)
            time.sleep(PAUSE_S)

    def _watch(self, probe: Probe, token: bytes, ports: frozenset[int]) -> tuple[set[int], set[int]]:
        reached: set[int] = set()
        flooded: set[int] = set()
        until = time.monotonic() + PATIENCE_S
        waiting = select.poll()
        waiting.register(self._listener, select.POLLIN)
        while reached != ports and waiting.poll(max(0.0, until - time.monotonic()) * 1000):
            data, (name, _, kind, _, _) = self._listener.recvfrom(2048)
            index = socket.if_nametoindex(name)
            if kind == PACKET_OUTGOING and index in ports and data.endswith(token):
                (reached if probe.is_control(data) else flooded).add(index)
        return reached, flooded


def _explain(what: str, ports: int, reached: int, flooded: int) -> str:
    if reached < ports:
        return f"{what}: a frame for all has reached {reached} of {ports} ports in {DEADLINE_S:g} s"
    return (
        f"{what}: a group that nobody has joined is still flooded to {flooded} of {ports} ports after {DEADLINE_S:g} s"
    )


def _sender(bridge: str, probe: Probe) -> socket.socket:
    """Open a socket that sends out of the bridge itself, from whatever address it has, if any.

    Not a packet socket: those cost 10 ms to close, and don't see at the last port what they sent themselves.
    """
    index = socket.if_nametoindex(bridge)
    sender = socket.socket(probe.family, socket.SOCK_DGRAM)
    if probe.family == socket.AF_INET:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    else:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return sender


def _filter(probe: Probe, lowest: int, highest: int) -> bytes:
    """Return the kernel's filter: datagrams to the probe's UDP port, on interfaces of that range of indexes."""
    return b"".join(
        (
            INSTRUCTION(LOAD_WORD, 0, 0, INTERFACE_AT),
            INSTRUCTION(JUMP_AT_LEAST, 0, 6, lowest),
            INSTRUCTION(JUMP_MORE, 5, 0, highest),
            INSTRUCTION(LOAD_HALF, 0, 0, ETHERTYPE_AT),
            INSTRUCTION(JUMP_EQUAL, 0, 3, probe.ethertype),
            INSTRUCTION(LOAD_HALF, 0, 0, probe.port_at),
            INSTRUCTION(JUMP_EQUAL, 0, 1, DISCARD),
            INSTRUCTION(RETURN, 0, 0, WHOLE_FRAME),
            INSTRUCTION(RETURN, 0, 0, 0),
        )
    )
