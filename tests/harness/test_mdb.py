"""The bridges' group tables: who joins, leaves and changes sources is seen at the right port."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from joinlab.plan import LabPlan

if TYPE_CHECKING:
    from tests.harness.conftest import BareLab

# Joins a group (from one source, if there is one), waits for a datagram of anybody, leaves.
MEMBER = """
import socket, sys
group, source, own = (sys.argv[1:] + ["", ""])[:3]
s = socket.socket(socket.AF_INET6 if ":" in group else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7002))
if ":" in group:
    index = socket.if_nametoindex("eth0").to_bytes(4, "little")
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, group) + index)
elif source:
    add_source = 39  # IP_ADD_SOURCE_MEMBERSHIP, which Python 3.11 lacks
    s.setsockopt(socket.IPPROTO_IP, add_source, b"".join(map(socket.inet_aton, (group, own, source))))
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + bytes(4))
s.recv(100)
"""
END = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", (sys.argv[1], 7002))
"""


@pytest.mark.parametrize(
    ("group", "igmp"), [("239.1.2.3", 3), ("239.1.2.3", 2), ("ff15::77", 3)], ids=["IGMPv3", "IGMPv2", "MLDv2"]
)
def test_a_join_and_a_leave_are_seen_at_the_members_port(
    lab: BareLab, star: Callable[..., LabPlan], group: str, igmp: int
) -> None:
    lab.stand(star(3, ipv6=True, igmp_version=igmp))
    member = lab.start("b", MEMBER, group)
    joined = lab.wait_for("group", change="joined", group=group)
    assert (joined["bridge"], joined["port"], joined["version"]) == (
        "hub",
        "b-port",
        ipaddress.ip_address(group).version,
    )
    assert at_ports(lab, group) == ["b-port"]
    lab.run("a", END, "10.1.0.2")
    assert member.result()["status"] == 0
    assert lab.wait_for("group", change="forgotten", group=group)["port"] == "b-port"
    assert at_ports(lab, group) == []


def test_who_comes_back_has_joined_again(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(2))
    for _ in range(2):
        member = lab.start("b", MEMBER, "239.1.2.3")
        lab.wait_for("group", change="joined", group="239.1.2.3")
        lab.run("a", END, "10.1.0.2")
        member.result()
        lab.wait_for("group", change="forgotten", group="239.1.2.3")
        lab.records.clear()


def at_ports(lab: BareLab, group: str) -> list[str]:
    """Return the ports that the kernel lists for a group now."""
    return [entry["port"] for entry in lab.ask("groups") if entry["group"] == group]


def test_a_source_is_part_of_the_entry(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(3))
    member = lab.start("b", MEMBER, "232.1.2.3", "10.1.0.1", "10.1.0.2")
    assert lab.wait_for("group", change="joined", source="10.1.0.1")["port"] == "b-port"
    any_source = next(entry for entry in lab.ask("groups") if entry["source"] is None)
    assert (any_source["mode"], any_source["sources"]) == ("include", ["10.1.0.1"])
    lab.run("a", END, "10.1.0.2")
    member.result()
    lab.wait_for("group", change="forgotten", source="10.1.0.1")


def test_an_entry_is_joined_once(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(3))
    members = [lab.start(node, MEMBER, "239.1.2.3") for node in "bc"]
    for port in ("b-port", "c-port"):
        lab.wait_for("group", change="joined", port=port)
    for address in ("10.1.0.2", "10.1.0.3"):
        lab.run("a", END, address)
    for member in members:
        member.result()
    for port in ("b-port", "c-port"):
        lab.wait_for("group", change="forgotten", port=port)
    # In between it is "changed": the kernel makes an entry for no source, then opens it to all.
    changes = [(r["change"], r["port"]) for r in lab.records if r["record"] == "group" and r["change"] != "changed"]
    assert sorted(changes) == [(c, p) for c in ("forgotten", "joined") for p in ("b-port", "c-port")]


def test_a_node_that_is_killed_is_forgotten(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(2))
    lab.start("b", MEMBER, "239.1.2.3")
    lab.wait_for("group", change="joined", group="239.1.2.3")
    lab.agents["b"].close()
    assert lab.wait_for("node", node="b")["change"] == "ended"
    lab.wait_for("group", change="forgotten", group="239.1.2.3")


@pytest.mark.parametrize("igmp", [2, 3])
def test_fast_leave_forgets_without_asking(lab: BareLab, star: Callable[..., LabPlan], igmp: int) -> None:
    # Asking for a last member would take twice this long, more than the test waits.
    lab.stand(star(2, igmp_version=igmp, fast_leave=True, last_member_interval_cs=1_000))
    member = lab.start("b", MEMBER, "239.1.2.3")
    lab.wait_for("group", change="joined", group="239.1.2.3")
    lab.run("a", END, "10.1.0.2")
    member.result()
    lab.wait_for("group", change="forgotten", group="239.1.2.3")
