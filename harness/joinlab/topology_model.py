"""What may stand in a topology file.

These models are the format: docs/topology.md tells it in words, the JSON Schema for editors is generated from them.
May not know: files and lines (``topology.py``), what concerns two places of a file (``topology_checks.py``), names,
addresses and numbers of a lab (``planning.py``).
"""

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, WithJsonSchema

from joinlab.units import DURATION, PERCENT_PATTERN, RATE, SIZE, Quantity, at_least, parse_percent

# The kernel: a Linux bridge takes 1,023 ports (the next fails with EXFULL).
MOST_PORTS = 1_023
# Port names are node names with room for four digits and ".9", and an interface name has at most 15 characters.
NAME_PATTERN = r"^[a-z][a-z0-9-]{0,8}$"


def _quantity(quantity: Quantity) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": quantity.pattern, "examples": [quantity.example]})


def _network(kind: type[IPv4Network] | type[IPv6Network], example: str) -> BeforeValidator:
    def parse(text: Any) -> str:
        try:
            return str(kind(text if isinstance(text, str) else ""))
        except ValueError as error:
            why = str(error) if "host bits" in str(error) else f"got {text!r}"
            raise ValueError(f"expected a network such as '{example}', {why}") from error

    return BeforeValidator(parse)


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _whole_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {value!r}")
    return value


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Rate = Annotated[int, BeforeValidator(RATE.parse), _quantity(RATE)]
Delay = Annotated[int, BeforeValidator(DURATION.parse), _quantity(DURATION)]
Size = Annotated[int, BeforeValidator(SIZE.parse), _quantity(SIZE)]
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "examples": ["1 %"]}),
]
# The kernel counts a bridge's timers in hundredths of a second, and takes no query interval below one second.
Timer = Annotated[int, BeforeValidator(at_least(DURATION, "10 ms", step="10 ms")), _quantity(DURATION)]
SlowTimer = Annotated[int, BeforeValidator(at_least(DURATION, "1 s", step="10 ms")), _quantity(DURATION)]
Times = Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=100)]
Network4 = Annotated[str, _network(IPv4Network, "10.77.0.0/16"), Field(examples=["10.77.0.0/16"])]
Network6 = Annotated[str, _network(IPv6Network, "fd00:77::/64"), Field(examples=["fd00:77::/64"])]


class Role(StrEnum):
    """What a node is in rooted sessions."""

    ROOT = "root"
    LEAF = "leaf"


class Preset(StrEnum):
    """A set of timers for a bridge."""

    TEST = "test"
    FIELD = "field"


class Strict(BaseModel):
    """Nothing unknown, nothing converted: a text is no number and a number no text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class MulticastModel(Strict):
    """How a bridge treats multicast. A timer that is not given comes from the preset."""

    preset: Annotated[Preset, Field(strict=False)] = Preset.TEST
    """test: a join takes effect in about 10 ms and a leave in 0.2 s. field: the timers of real switches."""
    snooping: bool = True
    """Send group traffic only to the ports that joined. Without it everybody gets everything."""
    querier: bool = True
    """The bridge asks who is a member. Without a querier, snooping floods."""
    igmp: Literal[2, 3] = 3
    """IGMP version of the bridge and of the nodes on it."""
    mld: Literal[1, 2] = 2
    """MLD version of the bridge and of the nodes on it."""
    fast_leave: bool = False
    """Forget a port at its first leave, without asking whether anybody is left on it."""
    query_interval: SlowTimer | None = None
    """Time between general queries."""
    query_response: Timer | None = None
    """Time that members have to answer a general query."""
    startup_query_interval: SlowTimer | None = None
    """Time between the first queries after the start."""
    startup_query_count: Times | None = None
    """How many queries are the first."""
    last_member_interval: Timer | None = None
    """Time that other members have to speak up after somebody left."""
    last_member_count: Times | None = None
    """How often the bridge asks for them."""
    membership_interval: Timer | None = None
    """Time after which a silent member is forgotten."""
    querier_interval: Timer | None = None
    """Time after which another querier that has fallen silent is replaced."""


class BridgeModel(Strict):
    """A bridge: one switched segment, with its networks and its treatment of multicast."""

    ipv4: Network4
    """The segment's IPv4 network. Nodes get its addresses in the order of the links."""
    ipv6: Network6 | None = None
    """The segment's IPv6 network; without it the segment has no IPv6 at all, and so none of its noise."""
    multicast: MulticastModel = MulticastModel()


class NodeModel(Strict):
    """A node, or with ``count`` a group of like nodes: leaf with count 4 is leaf1 to leaf4."""

    role: Annotated[Role, Field(strict=False)]
    count: Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=MOST_PORTS)] | None = None
    image: Annotated[str, Field(min_length=1)] | None = None
    """A container image of your own (docker runtime); it needs python3. Without it, joinlab's node image."""


class ShapeModel(Strict):
    """How a direction of a link is shaped. What is not given is not shaped."""

    rate: Rate | None = None
    burst: Size | None = None
    """How much may pass at once above the rate; without it, chosen from the rate."""
    delay: Delay | None = None
    jitter: Delay | None = None
    loss: Percent | None = None
    duplicate: Percent | None = None
    reorder: Percent | None = None
    corrupt: Percent | None = None


class LinkModel(ShapeModel):
    """A link from each of some nodes to a bridge. What stands here holds for both directions."""

    model_config = ConfigDict(populate_by_name=True)

    sources: Annotated[
        list[Name],
        BeforeValidator(_one_or_more),
        Field(alias="from", min_length=1),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ]
    """A node or group of nodes, or several of them."""
    to: Name
    """A bridge."""
    up: ShapeModel = ShapeModel()
    """From the node to the bridge, where it differs."""
    down: ShapeModel = ShapeModel()
    """From the bridge to the node, where it differs."""


class Topology(Strict):
    """A lab topology for joinlab: bridges, nodes, and links between them."""

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    bridges: Annotated[dict[Name, BridgeModel], Field(min_length=1)]
    nodes: Annotated[dict[Name, NodeModel], Field(min_length=1)]
    links: Annotated[list[LinkModel], Field(min_length=1)]

    _source: str = PrivateAttr("")

    @property
    def source(self) -> str:
        """Return the file that this topology was read from, for messages."""
        return self._source

    def read_from(self, source: str) -> Self:
        """Return this topology with its source set."""
        copy = self.model_copy()
        copy._source = source
        return copy


def node_names(group: str, node: NodeModel) -> list[str]:
    """Return the names of the nodes of a group; a node without ``count`` has the name of its group."""
    if node.count is None:
        return [group]
    return [f"{group}{number}" for number in range(1, node.count + 1)]


def ports_of(topology: Topology, bridge: str) -> Mapping[str, int]:
    """Return how many ports of ``bridge`` each group of nodes takes."""
    groups = [group for link in topology.links if link.to == bridge for group in link.sources]
    return {group: topology.nodes[group].count or 1 for group in groups if group in topology.nodes}
