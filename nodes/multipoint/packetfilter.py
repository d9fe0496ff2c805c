"""Filters that a kernel's datagram socket runs on what it is about to take, as rows of a classic BPF program.

Two things Linux would do otherwise: data of this host that Winsock's loopback rule keeps away (D.7), and, for a group
socket that is bound to one address, unicast to the host's other ones (JL-22): its kernel's socket is bound to all
addresses, for one that is bound to an address hears no group. May not know: sockets.
"""

from ipaddress import IPv4Address, ip_address

Step = tuple[int, int, int, int]

# A word or a byte at a place, a jump on equality, a mask, an end; places from the start of the IP header, and the type
# of the packet, are at these offsets (linux/filter.h).
LOAD_WORD, LOAD_BYTE, JUMP_IF_EQUAL, AND, RETURN = 0x20, 0x30, 0x15, 0x54, 0x06
AT_HEADER, AT_PACKET_TYPE = 0xFFF00000, 0xFFFFF004
PACKET_LOOPBACK = 5
DROP: Step = (RETURN, 0, 0, 0)
KEEP: Step = (RETURN, 0, 0, 0xFFFFFFFF)
# Where the destination stands in the two headers.
DESTINATION4, DESTINATION6 = 16, 24


def program(hears_host: bool, address: str | None) -> tuple[Step, ...]:
    """Return the program for a socket that hears this host or not, at one address or at all; empty: no filter."""
    steps: tuple[Step, ...] = (
        () if hears_host else ((LOAD_WORD, 0, 0, AT_PACKET_TYPE), (JUMP_IF_EQUAL, 0, 1, PACKET_LOOPBACK), DROP)
    )
    if address is not None:
        steps += _addressed(address)
    return (*steps, KEEP) if steps else ()


def _addressed(address: str) -> tuple[Step, ...]:
    """Drop what goes neither to a group nor to this address."""
    bare = ip_address(address.partition("%")[0])
    if isinstance(bare, IPv4Address):
        return (
            (LOAD_WORD, 0, 0, AT_HEADER + DESTINATION4),
            (JUMP_IF_EQUAL, 3, 0, int(bare)),
            (AND, 0, 0, 0xF0000000),
            (JUMP_IF_EQUAL, 1, 0, 0xE0000000),
            DROP,
        )
    steps: list[Step] = [(LOAD_BYTE, 0, 0, AT_HEADER + DESTINATION6), (JUMP_IF_EQUAL, 9, 0, 0xFF)]
    for at in range(0, 16, 4):
        word = int.from_bytes(bare.packed[at : at + 4], "big")
        steps.append((LOAD_WORD, 0, 0, AT_HEADER + DESTINATION6 + at))
        # One word that differs leads to the drop, the last one that does not leads past it.
        steps.append((JUMP_IF_EQUAL, 1 if at == 12 else 0, 6 - at // 2, word))
    return (*steps, DROP)
