"""From a checked topology to the plan of a lab: every name, address and number worked out, the same on every run.

Pure: no files, no clock, no kernel. Knows what the presets mean and how nodes, ports and addresses are numbered.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from itertools import count

from joinlab.plan import BridgePlan, LabPlan, LinkPlan, Multicast, NodePlan, Shape
from joinlab.topology_model import BridgeModel, LinkModel, MulticastModel, Preset, ShapeModel, Topology, node_names

# The kernel takes a bridge's timers in hundredths of a second (USER_HZ); topologies hold microseconds.
_US_PER_CS = 10_000

# Fields of plan.Multicast by preset. "field" has the defaults of RFC 3376, section 8, which real switches and the
# kernel use. "test" shortens what a join or leave has to wait for: with 0.1 s of response time the snooping counts
# after 0.1 s, and the last member is forgotten after 2 x 0.1 s. It sends ONE query at the start, not two (the second
# would draw reports in the midst of a test), and no other for 125 s.
PRESETS: Mapping[Preset, Mapping[str, int]] = {
    Preset.TEST: {
        "query_interval_cs": 12_500,
        "query_response_cs": 10,
        "startup_query_interval_cs": 100,  # the least that the kernel takes
        "startup_query_count": 1,
        "last_member_interval_cs": 10,
        "last_member_count": 2,
        "membership_interval_cs": 26_000,
        "querier_interval_cs": 25_500,
    },
    Preset.FIELD: {
        "query_interval_cs": 12_500,
        "query_response_cs": 1_000,
        "startup_query_interval_cs": 3_125,  # a quarter of the query interval
        "startup_query_count": 2,
        "last_member_interval_cs": 100,
        "last_member_count": 2,
        "membership_interval_cs": 26_000,  # 2 x query interval + response time
        "querier_interval_cs": 25_500,  # 2 x query interval + half the response time
    },
}

# Within which a host repeats a report, in case the first was lost. With IGMPv3 the kernel takes 1 s; with IGMPv2 10 s,
# and so a single lost frame outlasts the patience of a test.
REPEAT_MS: Mapping[Preset, int | None] = {Preset.TEST: 1_000, Preset.FIELD: None}

# Locally administered, then "jl".
_MAC_PREFIX = "02:6a:6c"


def plan(topology: Topology) -> LabPlan:
    """Return the plan of ``topology``."""
    return LabPlan(
        name=topology.name,
        bridges=tuple(_bridge(name, bridge) for name, bridge in topology.bridges.items()),
        nodes=tuple(
            NodePlan(name, node.role.value, node.image)
            for group, node in topology.nodes.items()
            for name in node_names(group, node)
        ),
        links=tuple(_links(topology)),
        source=topology.source,
    )


def _bridge(name: str, bridge: BridgeModel) -> BridgePlan:
    return BridgePlan(name, bridge.ipv4, bridge.ipv6, _multicast(bridge.multicast))


def _multicast(given: MulticastModel) -> Multicast:
    timers = dict(PRESETS[given.preset])
    for field in timers:
        key = field.removesuffix("_cs")
        if (value := getattr(given, key)) is not None:
            timers[field] = value // _US_PER_CS if field.endswith("_cs") else value
    return Multicast(
        snooping=given.snooping,
        querier=given.querier,
        igmp_version=given.igmp,
        mld_version=given.mld,
        fast_leave=given.fast_leave,
        **timers,
    )


def _links(topology: Topology) -> Iterator[LinkPlan]:
    """Yield the links in the order of the file, numbering interfaces per node and addresses per bridge."""
    interfaces: dict[str, Iterator[int]] = {}
    hosts = {name: _hosts(bridge) for name, bridge in topology.bridges.items()}
    number = count(1)
    for link in topology.links:
        multicast = topology.bridges[link.to].multicast
        up, down = _shape(link, link.up), _shape(link, link.down)
        for node in _nodes_on(topology, link):
            index = next(interfaces.setdefault(node, count()))
            ipv4, ipv6 = next(hosts[link.to])
            yield LinkPlan(
                node=node,
                interface=f"eth{index}",
                bridge=link.to,
                # As the node, so that captures read well; a node's further links are told apart.
                port=node if index == 0 else f"{node}.{index}",
                mac=_mac(next(number)),
                ipv4=ipv4,
                ipv6=ipv6,
                igmp_version=multicast.igmp,
                mld_version=multicast.mld,
                up=up,
                down=down,
                repeat_ms=REPEAT_MS[multicast.preset],
            )


def _nodes_on(topology: Topology, link: LinkModel) -> Iterator[str]:
    for group in link.sources:
        yield from node_names(group, topology.nodes[group])


def _hosts(bridge: BridgeModel) -> Iterator[tuple[str, str | None]]:
    """Yield the addresses of a segment's nodes, IPv4 and IPv6 with the same number."""
    ipv4 = IPv4Network(bridge.ipv4)
    ipv6 = IPv6Network(bridge.ipv6) if bridge.ipv6 else None
    for host in count(1):
        yield f"{ipv4[host]}/{ipv4.prefixlen}", f"{ipv6[host]}/{ipv6.prefixlen}" if ipv6 else None


def _mac(number: int) -> str:
    return f"{_MAC_PREFIX}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


# Keys of a link and fields of plan.Shape.
_SHAPE_FIELDS = {
    "rate": "rate_bps",
    "burst": "burst_bytes",
    "delay": "delay_us",
    "jitter": "jitter_us",
    "loss": "loss_percent",
    "duplicate": "duplicate_percent",
    "reorder": "reorder_percent",
    "corrupt": "corrupt_percent",
}


def _shape(both: ShapeModel, one: ShapeModel) -> Shape:
    """Return the shape of one direction: what it says itself, else what the link says of both."""
    given = {
        field: value
        for key, field in _SHAPE_FIELDS.items()
        if (value := getattr(one, key) if getattr(one, key) is not None else getattr(both, key)) is not None
    }
    return Shape(**given)
