"""Bridges: what was asked for is what stands there, and their snooping is in force from the first frame."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from joinlab import fabric, namespaces, probe
from joinlab.errors import LabBroken, UnfitMachine
from joinlab.namespaces import Namespace
from joinlab.netlink import Netlink, nested, new_address, new_link, set_link
from joinlab.plan import LabPlan
from joinlab.probe import Prober

if TYPE_CHECKING:
    from tests.harness.conftest import BareLab

FIELD_TIMERS = {
    "query_response_cs": 1_000,
    "startup_query_interval_cs": 3_125,
    "startup_query_count": 2,
    "last_member_interval_cs": 100,
}

# Sends a datagram to each group, in order; its payload is the group.
SEND = """
import socket, sys
for group in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    scope = (0, socket.if_nametoindex("eth0")) if ":" in group else ()
    socket.socket(family, socket.SOCK_DGRAM).sendto(group.encode(), (group, 7000, *scope))
"""


@pytest.mark.parametrize("timers", [{}, FIELD_TIMERS], ids=["test", "field"])
@pytest.mark.parametrize(("group", "to_all"), [("239.1.2.3", "224.0.0.77"), ("ff15::77", "ff02::1")])
def test_a_group_nobody_joined_reaches_no_port_from_the_first_frame(
    lab: BareLab, star: Callable[..., LabPlan], timers: dict[str, int], group: str, to_all: str
) -> None:
    lab.stand(star(3, ipv6=True, **timers))
    lab.capture()
    lab.run("a", SEND, group, to_all)
    for port in ("b-port", "c-port"):
        assert not [f for f in lab.frames_to(port, to_all.encode()) if f.endswith(group.encode())]


@pytest.mark.parametrize("changes", [{"snooping": False}, {"querier": False}], ids=["no snooping", "no querier"])
def test_a_bridge_without_snooping_or_querier_floods(
    lab: BareLab, star: Callable[..., LabPlan], changes: dict[str, bool]
) -> None:
    lab.stand(star(3, **changes))
    lab.capture()
    lab.run("a", SEND, "239.1.2.3")
    for port in ("b-port", "c-port"):
        lab.frames_to(port, b"239.1.2.3")


def test_ready_tells_how_often_it_had_to_probe(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.build(star(3, ipv6=True))
    assert lab.ask("ready").keys() == {"hub IPv4", "hub IPv6"}


def test_a_value_that_the_kernel_changes_is_told(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    # The kernel takes no startup interval under a second and says nothing.
    with pytest.raises(LabBroken, match="bridge hub, MCAST_STARTUP_QUERY_INTVL: asked for 10, got 100"):
        lab.ask("build", plan=star(2, startup_query_interval_cs=10).to_json())


def test_more_ports_than_a_bridge_takes_are_refused(star: Callable[..., LabPlan]) -> None:
    crowd = star(1)
    crowd = LabPlan(crowd.name, crowd.bridges, crowd.nodes, crowd.links * 1024)
    with (
        pytest.raises(UnfitMachine, match="bridge hub would have 1024 ports, and Linux takes 1023"),
        Netlink() as netlink,
    ):
        fabric.build(netlink, crowd)


@pytest.fixture
def own_namespace() -> Iterator[None]:
    """Be in a network namespace of our own."""
    home = namespaces.open_namespace("self", "net")
    try:
        namespaces.unshare(Namespace.NET)
    except PermissionError:
        pytest.skip("a network namespace in this very process needs root: run as root (sudo)")
    yield
    namespaces.enter(home, Namespace.NET)
    os.close(home)


@pytest.fixture
def prober(own_namespace: None) -> Iterator[Prober]:
    """Return a prober in a network namespace of our own."""
    prober = Prober()
    yield prober
    prober.close()


@pytest.mark.parametrize("version", [4, 6])
def test_the_probe_sees_a_bridge_that_floods(prober: Prober, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "DEADLINE_S", 0.1)
    port = make_bridge_with_port()
    assert prober.wait_until_in_force("hub", {port}, version, snooping=False) >= 1
    with pytest.raises(
        probe.NotInForce,
        match=f"bridge hub, IPv{version}: a group that nobody has joined is still flooded to 1 of 1 ports",
    ):
        prober.wait_until_in_force("hub", {port}, version, snooping=True)


def test_the_probe_sees_a_port_that_carries_nothing(prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "DEADLINE_S", 0.1)
    port = make_bridge_with_port()
    with pytest.raises(probe.NotInForce, match="bridge hub, IPv4: a frame for all has reached 1 of 2 ports"):
        prober.wait_until_in_force("hub", {port, 999}, 4, snooping=True)


def make_bridge_with_port() -> int:
    """Make a bridge as the kernel's defaults have it, and a port whose other end is here too; returns the port."""
    with Netlink() as netlink:
        netlink.do(
            [
                new_link(
                    "hub", [("IFLA_IFNAME", "hub"), ("IFLA_LINKINFO", nested({"IFLA_INFO_KIND": "bridge"}))], up=True
                )
            ]
        )
        hub = next(link["index"] for link in netlink.links() if link.get_attr("IFLA_IFNAME") == "hub")
        flags, family = fabric.IFA_F_NODAD, socket.AF_INET6
        netlink.do([new_address("address of the hub", hub, fabric.QUERIER_ADDRESS, family=family, flags=flags)])
        peer = {"attrs": [("IFLA_IFNAME", "far")], "index": 0}
        veth = nested({"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": nested({"VETH_INFO_PEER": peer})})
        netlink.do(
            [new_link("port", [("IFLA_IFNAME", "port"), ("IFLA_MASTER", hub), ("IFLA_LINKINFO", veth)], up=True)]
        )
        indexes = {link.get_attr("IFLA_IFNAME"): link["index"] for link in netlink.links()}
        netlink.do([set_link("far", indexes["far"], up=True)])
        index: int = indexes["port"]
        return index
