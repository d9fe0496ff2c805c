"""What is to be built, as plain data: the validated topology with all names, addresses and numbers worked out.

The keeper builds from this alone (it travels to it as JSON), so nothing here may need pydantic, YAML or the
topology file. Planning itself, topology -> plan, is in ``planning.py``.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Shape:
    """How one direction of a link is shaped. None or 0: not shaped in that respect."""

    rate_bps: int | None = None  # bits per second
    burst_bytes: int | None = None  # of the token bucket; None: chosen from the rate
    delay_us: int = 0
    jitter_us: int = 0
    loss_percent: float = 0.0
    duplicate_percent: float = 0.0
    reorder_percent: float = 0.0
    corrupt_percent: float = 0.0

    @property
    def needs_netem(self) -> bool:
        """Tell whether a token bucket alone can't do it."""
        return any(
            (
                self.delay_us,
                self.jitter_us,
                self.loss_percent,
                self.duplicate_percent,
                self.reorder_percent,
                self.corrupt_percent,
            )
        )


@dataclass(frozen=True, slots=True)
class Multicast:
    """How a bridge treats multicast. Intervals are in units of 10 ms, as the kernel takes them."""

    snooping: bool
    querier: bool
    igmp_version: int  # 2 or 3
    mld_version: int  # 1 or 2
    query_interval_cs: int
    query_response_cs: int
    startup_query_interval_cs: int
    startup_query_count: int
    last_member_interval_cs: int
    last_member_count: int
    membership_interval_cs: int
    querier_interval_cs: int
    fast_leave: bool


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """One bridge. ``ipv4`` and ``ipv6`` are networks in prefix notation; ``ipv6`` None: the segment has no IPv6."""

    name: str
    ipv4: str
    ipv6: str | None
    multicast: Multicast


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node. ``image`` None: joinlab's own node image (docker runtime only)."""

    name: str
    role: str  # "root" or "leaf"
    image: str | None = None


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One link: a node's interface and the bridge port at its other end. Addresses are host/prefix-length."""

    node: str
    interface: str  # name in the node, "eth0"
    bridge: str
    port: str  # name of the bridge port in the fabric's namespace, at most 15 characters, unique in the lab
    mac: str
    ipv4: str
    ipv6: str | None
    igmp_version: int  # forced on the host: 2 or 3; 0 follows the querier
    mld_version: int  # forced on the host: 1 or 2; 0 follows the querier
    up: Shape = Shape()  # node -> bridge
    down: Shape = Shape()  # bridge -> node
    repeat_ms: int | None = None  # within which a host of the older version repeats its report; None: the kernel's 10 s


@dataclass(frozen=True, slots=True)
class LabPlan:
    """A whole lab."""

    name: str
    bridges: tuple[BridgePlan, ...]
    nodes: tuple[NodePlan, ...]
    links: tuple[LinkPlan, ...]
    source: str = field(default="", compare=False)  # the topology file, for messages

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuild a plan from ``to_json``."""
        return cls(
            name=data["name"],
            bridges=tuple(BridgePlan(**b | {"multicast": Multicast(**b["multicast"])}) for b in data["bridges"]),
            nodes=tuple(NodePlan(**n) for n in data["nodes"]),
            links=tuple(LinkPlan(**k | {"up": Shape(**k["up"]), "down": Shape(**k["down"])}) for k in data["links"]),
            source=data["source"],
        )
