"""What the keeper does: the requests of one channel, and what they have made in its namespaces.

Each request is a verb with arguments, in JSON; each reply a value, with descriptors where there are some, or an error.
What happens by itself (a group joined, a node ended) goes up as a record.

May not know: how the process got its privileges, pydantic, Docker, scapy, pytest.
"""

import os
import select
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from joinlab import fabric, links, namespaces, probe, ring, shaping
from joinlab.descriptors import make_room
from joinlab.errors import JoinlabError, LabBroken, UnfitMachine, UsageError
from joinlab.mdb import GroupWatch
from joinlab.namespaces import Namespace
from joinlab.netlink import Netlink, NetlinkFailed
from joinlab.plan import LabPlan, LinkPlan, Shape
from joinlab.sysctls import SysctlLied
from joinlab_agent.channel import Channel, ChannelClosed, Message, Received

NETEM_CURE = (
    "the topology asks for delay, jitter, loss or the like, and this kernel has no netem: "
    "load it (modprobe sch_netem), boot a kernel that has it, or shape by rate only"
)

# Its network namespace and its end; its channel and its report while it comes up.
DESCRIPTORS_PER_NODE = 4

# What a verb gives: the value of the reply and descriptors, which the keeper closes once they are sent.
Answer = tuple[Any, tuple[int, ...]]


class Keeper:
    """The verbs of one channel, and what they have made."""

    def __init__(self, channel: Channel, nursery: Channel) -> None:
        self._channel = channel
        self._nursery = nursery
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, self._take_requests)
        self._selector.register(nursery, selectors.EVENT_READ, self._hear_nursery)
        self._home = namespaces.open_namespace("self", "net")
        self._netlink = Netlink()
        self._prober = probe.Prober(self._end_without_harness)
        self._plan: LabPlan | None = None
        self._bridges: dict[str, int] = {}
        self._spaces: dict[str, int] = {}
        self._shapes: dict[str, Shape] = {}
        self._groups: GroupWatch | None = None
        self._verbs: dict[str, Callable[..., Any]] = {
            "hello": self._hello,
            "build": self._build,
            "adopt": self._adopt,
            "link": self._link,
            "ready": self._ready,
            "shape": self._shape,
            "cut": self._cut,
            "mend": self._mend,
            "groups": self._list_groups,
        }
        self._verbs_with_descriptors: dict[str, Callable[..., Answer]] = {"capture": self._capture}

    def serve(self) -> NoReturn:
        """Serve until the channel closes: ChannelClosed is raised then."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    # Requests

    def _take_requests(self) -> None:
        for received in self._channel.take():
            self._answer(received)

    def _answer(self, received: Received) -> None:
        body = received.body
        for descriptor in received.descriptors:
            os.close(descriptor)
        number, verb = body.pop("id", None), body.pop("do", None)
        try:
            if verb == "fork_node":
                self._fork_node(number, **body)
                return
            value, descriptors = self._carry_out(verb, body)
        except ChannelClosed:
            raise
        except Exception as error:  # a bad request must not end a lab; the harness raises it
            self._send({"re": number, "error": error_to_json(error)})
        else:
            self._send({"re": number, "value": value}, descriptors)

    def _carry_out(self, verb: str, arguments: Mapping[str, Any]) -> Answer:
        if verb in self._verbs:
            return self._verbs[verb](**arguments), ()
        if verb in self._verbs_with_descriptors:
            return self._verbs_with_descriptors[verb](**arguments)
        raise UsageError(f"the keeper knows no verb {verb!r}")

    def _send(self, body: Message, descriptors: tuple[int, ...] = ()) -> None:
        try:
            self._channel.send(body, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _record(self, kind: str, **facts: Any) -> None:
        self._send({"record": kind, "ns": time.time_ns(), **facts})

    # The fabric

    def _hello(self) -> dict[str, Any]:
        return {"pid": os.getpid()}

    def _build(self, plan: dict[str, Any]) -> dict[str, int]:
        wanted = LabPlan.from_json(plan)
        if _needs_netem(wanted) and not shaping.kernel_has_netem():
            raise UnfitMachine([NETEM_CURE])
        make_room(DESCRIPTORS_PER_NODE * len(wanted.nodes))
        self._bridges = fabric.build(self._netlink, wanted)
        self._plan = wanted
        return self._bridges

    def _adopt(self, pids: dict[str, int]) -> None:
        """Take hold of the nodes' namespaces. That the numbers were still theirs, the harness sees, before ``link``."""
        self._spaces |= links.open_spaces(pids)

    def _link(self) -> None:
        plan = self._built()
        links.make(self._netlink, plan, self._bridges, self._spaces, self._home)
        self._groups = GroupWatch({index: name for name, index in links.ports(self._netlink).items()})
        self._selector.register(self._groups, selectors.EVENT_READ, self._pass_groups_on)

    def _ready(self) -> dict[str, int]:
        """Prove the snooping on the bare links, then shape them: a probe must not wait in a slow link's queue."""
        plan = self._built()
        indexes = links.ports(self._netlink)
        rounds = {}
        for bridge in plan.bridges:
            ports = {indexes[link.port] for link in plan.links if link.bridge == bridge.name}
            snooping = bridge.multicast.snooping and bridge.multicast.querier
            for version in (4, 6) if bridge.ipv6 else (4,):
                in_force = self._prober.wait_until_in_force(bridge.name, ports, version, snooping=snooping)
                rounds[f"{bridge.name} IPv{version}"] = in_force
        self._shape_links([(link, link.up, link.down) for link in plan.links])
        return rounds

    def _capture(self) -> Answer:
        geometry = ring.Geometry()
        indexes = links.ports(self._netlink)
        ignored = [index for name, index in indexes.items() if name in self._bridges or index == links.LOOPBACK]
        sock = ring.open_ring(ignored, geometry)
        ports = {str(index): name for name, index in indexes.items() if index not in ignored}
        return {"ports": ports, "ring": geometry.to_json()}, (sock.detach(),)

    def _end_without_harness(self) -> None:
        """Raise ChannelClosed if the harness has gone: for a verb that takes its time."""
        hang_up = select.poll()
        hang_up.register(self._channel, select.POLLRDHUP)
        if hang_up.poll(0):
            raise ChannelClosed("the harness has gone")

    # Links

    def _shape(self, port: str, up: dict[str, Any], down: dict[str, Any]) -> None:
        link = self._link_at(port)
        new_up, new_down = Shape(**up), Shape(**down)
        if (new_up.needs_netem or new_down.needs_netem) and not _netem_in_scratch_namespace(self._home):
            raise UnfitMachine([NETEM_CURE])
        self._shape_links([(link, new_up, new_down)])
        self._record("link", change="shaped", port=port, node=link.node, up=up, down=down)

    def _shape_links(self, wanted: Sequence[tuple[LinkPlan, Shape, Shape]]) -> None:
        """Shape links, each ``(link, up, down)``. The bridge's port sends ``down``, the node's interface ``up``."""
        self._shape_ends(self._netlink, [(link.port, f"port {link.port}", down) for link, _, down in wanted])
        for link, up, _ in wanted:
            if self._shapes.get(_node_end(link), Shape()) != up:
                with namespaces.inside(self._spaces[link.node], self._home), Netlink() as netlink:
                    self._shape_ends(netlink, [(link.interface, _node_end(link), up)])

    def _shape_ends(self, netlink: Netlink, ends: Sequence[tuple[str, str, Shape]]) -> None:
        """Shape what interfaces send, each ``(interface, full name, shape)``; the caller is in their namespace."""
        changes = [
            shaping.Change(socket.if_nametoindex(interface), name, self._shapes.get(name, Shape()), shape)
            for interface, name, shape in ends
            if self._shapes.get(name, Shape()) != shape
        ]
        if changes:
            shaping.apply(netlink, changes)
            self._shapes |= {change.what: change.after for change in changes}

    def _cut(self, port: str) -> None:
        self._set_carrier(port, up=False)

    def _mend(self, port: str) -> None:
        self._set_carrier(port, up=True)

    def _set_carrier(self, port: str, *, up: bool) -> None:
        link = self._link_at(port)
        links.set_carrier(self._netlink, port, up=up)
        self._record("link", change="mended" if up else "cut", port=port, node=link.node)

    def _link_at(self, port: str) -> LinkPlan:
        for link in self._built().links:
            if link.port == port:
                return link
        raise UsageError(f"no link has the port {port!r}; there are {', '.join(k.port for k in self._built().links)}")

    # Groups

    def _list_groups(self) -> list[dict[str, Any]]:
        return [entry.to_json() for entry in self._watched().dump()]

    def _pass_groups_on(self) -> None:
        for change, entry in self._watched().changes():
            self._record("group", change=change, **entry.to_json())

    def _watched(self) -> GroupWatch:
        if self._groups is None:
            raise UsageError("there are no groups before the links are made")
        return self._groups

    # Nodes

    def _fork_node(self, number: int, name: str) -> None:
        """Have a node forked; the reply goes out when it is up, so many can come up side by side."""
        self._nursery.send({"number": number, "name": name})

    def _hear_nursery(self) -> None:
        for body, descriptors in self._nursery.take():
            match body:
                case {"status": status, "name": name}:
                    self._record("node", change="ended", node=name, status=status)
                case {"number": number, "pid": pid}:
                    self._send({"re": number, "value": {"pid": pid}}, descriptors)
                case {"number": number, "name": name, "failure": failure}:
                    error = LabBroken(f"node {name} can't be made: {failure}")
                    self._send({"re": number, "error": error_to_json(error)})

    def _built(self) -> LabPlan:
        if self._plan is None:
            raise UsageError("nothing is built yet")
        return self._plan


def _node_end(link: LinkPlan) -> str:
    return f"{link.interface} of {link.node}"


def _needs_netem(plan: LabPlan) -> bool:
    return any(link.up.needs_netem or link.down.needs_netem for link in plan.links)


def _netem_in_scratch_namespace(home: int) -> bool:
    namespaces.unshare(Namespace.NET)
    try:
        return shaping.kernel_has_netem()
    finally:
        namespaces.enter(home, Namespace.NET)


def error_to_json(error: Exception) -> dict[str, Any]:
    """Return an error as ``to_error`` in ``launchers.py`` takes it."""
    if isinstance(error, UnfitMachine):
        return {"type": "unfit", "text": str(error), "missing": list(error.missing)}
    if isinstance(error, UsageError | TypeError):
        return {"type": "usage", "text": str(error)}
    known = isinstance(error, JoinlabError | NetlinkFailed | SysctlLied | probe.NotInForce)
    return {"type": "broken", "text": str(error) if known else f"{type(error).__name__}: {error}"}
