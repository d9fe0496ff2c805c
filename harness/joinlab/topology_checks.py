"""What is wrong with a topology although each key by itself is right: names, links and room.

May not know: files and lines; a problem says where in the data it stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from joinlab.topology_model import MOST_PORTS, Role, Topology, node_names, ports_of

# Names that the kernel gives a meaning, as an interface or under /proc/sys/net.
RESERVED_NAMES = frozenset({"all", "default", "lo"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that the models can't see because it concerns two places."""

    place: tuple[str | int, ...]
    text: str


def find_problems(topology: Topology) -> Iterator[Problem]:
    """Yield what is wrong although each key by itself is right."""
    yield from _problems_of_names(topology)
    yield from _problems_of_links(topology)
    yield from _problems_of_room(topology)


def _problems_of_names(topology: Topology) -> Iterator[Problem]:
    taken = dict.fromkeys(topology.bridges, "a bridge")
    for kind, names in (("bridges", topology.bridges), ("nodes", topology.nodes)):
        for name in RESERVED_NAMES.intersection(names):
            yield Problem((kind, name), f"{name!r} is a name that the kernel uses itself")
    for group, node in topology.nodes.items():
        for name in node_names(group, node):
            if name in taken:
                yield Problem(("nodes", group), f"the name {name!r} is {taken[name]}'s already")
                break
            taken[name] = "another node"
    roots = [g for g, node in topology.nodes.items() if node.role is Role.ROOT for _ in node_names(g, node)]
    if len(roots) != 1:
        yield Problem(("nodes",), f"expected one node with role root, got {len(roots)}")
    if len(roots) == sum(node.count or 1 for node in topology.nodes.values()):
        yield Problem(("nodes",), "expected at least one node with role leaf")


def _problems_of_links(topology: Topology) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for index, link in enumerate(topology.links):
        if link.to not in topology.bridges:
            known = ", ".join(topology.bridges)
            yield Problem(("links", index, "to"), f"expected one of the bridges ({known}), got {link.to!r}")
        for group in link.sources:
            if group not in topology.nodes:
                known = ", ".join(topology.nodes)
                yield Problem(("links", index, "from"), f"expected one of the nodes ({known}), got {group!r}")
            if (group, link.to) in seen:
                yield Problem(("links", index, "from"), f"{group} is linked to {link.to} already")
            seen.add((group, link.to))
    for group in topology.nodes:
        if group not in {source for source, _ in seen}:
            yield Problem(("nodes", group), f"{group} has no link; add it to 'from' of one")
        elif sum(source == group for source, _ in seen) > 9:
            yield Problem(("nodes", group), f"{group} has more than 9 links")


def _problems_of_room(topology: Topology) -> Iterator[Problem]:
    for name, bridge in topology.bridges.items():
        ports = sum(ports_of(topology, name).values())
        if ports > MOST_PORTS:
            yield Problem(("bridges", name), f"{ports} links, but a Linux bridge takes {MOST_PORTS}")
        for key, network in (("ipv4", IPv4Network(bridge.ipv4)), ("ipv6", IPv6Network(bridge.ipv6 or "::/0"))):
            # Without the network's own address and the broadcast address.
            if (room := network.num_addresses - 2) < ports:
                yield Problem(("bridges", name, key), f"{ports} nodes, but {network} has room for {max(room, 0)}")
