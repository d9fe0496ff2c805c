"""Build a lab's bridges in the network namespace of the caller, with snooping in force from the first frame.

A bridge's own querier counts, and so its snooping restricts anything, only one query response interval after it is
switched on (10 s by default). The kernel takes the interval of that moment, so a bridge gets the shortest interval
first, then its querier, then the interval that was asked for, while it is still down: any preset is in force at once.

May not know: nodes, links.
"""

from collections.abc import Iterator, Mapping, Sequence
from socket import AF_INET6
from typing import Any

from joinlab import sysctls
from joinlab.errors import LabBroken, UnfitMachine
from joinlab.netlink import Netlink, Request, nested, new_address, new_link, set_link
from joinlab.plan import BridgePlan, LabPlan, Multicast

MAX_PORTS = 1023  # BR_MAX_PORTS of the kernel; the next port fails with EXFULL
SHORTEST_RESPONSE_CS = 1
IFA_F_NODAD = 0x02
ADDRESS_MODE_NONE = 1  # IN6_ADDR_GEN_MODE_NONE
# A querier for IPv6 must have a link-local address, or the bridge doesn't count as one. ::fe is no node's number.
QUERIER_ADDRESS = "fe80::fe/64"

IPV6_CURE = "IPv6 is off in this kernel: boot without ipv6.disable=1, or take the bridge's ipv6 out of the topology"


def build(netlink: Netlink, plan: LabPlan) -> dict[str, int]:
    """Build the bridges of ``plan``; returns their interface indexes by name. Raises UnfitMachine, LabBroken."""
    _check_ports(plan)
    _silence_ipv6(plan)
    netlink.do(_create(bridge) for bridge in plan.bridges)
    names = {link.get_attr("IFLA_IFNAME"): link["index"] for link in netlink.links()}
    indexes = {bridge.name: names[bridge.name] for bridge in plan.bridges}
    for bridge in plan.bridges:
        if bridge.ipv6:
            _allow_ipv6(bridge)
    netlink.do(request for bridge in plan.bridges for request in _set_up(bridge, indexes[bridge.name]))
    _compare(netlink, plan.bridges, indexes)
    return indexes


def multicast_attributes(multicast: Multicast) -> dict[str, int]:
    """Return what a bridge is asked for, as netlink names it."""
    return {
        "IFLA_BR_MCAST_SNOOPING": int(multicast.snooping),
        "IFLA_BR_MCAST_QUERIER": int(multicast.querier),
        "IFLA_BR_MCAST_IGMP_VERSION": multicast.igmp_version,
        "IFLA_BR_MCAST_MLD_VERSION": multicast.mld_version,
        "IFLA_BR_MCAST_QUERY_INTVL": multicast.query_interval_cs,
        "IFLA_BR_MCAST_QUERY_RESPONSE_INTVL": multicast.query_response_cs,
        "IFLA_BR_MCAST_STARTUP_QUERY_INTVL": multicast.startup_query_interval_cs,
        "IFLA_BR_MCAST_STARTUP_QUERY_CNT": multicast.startup_query_count,
        "IFLA_BR_MCAST_LAST_MEMBER_INTVL": multicast.last_member_interval_cs,
        "IFLA_BR_MCAST_LAST_MEMBER_CNT": multicast.last_member_count,
        "IFLA_BR_MCAST_MEMBERSHIP_INTVL": multicast.membership_interval_cs,
        "IFLA_BR_MCAST_QUERIER_INTVL": multicast.querier_interval_cs,
    }


def _check_ports(plan: LabPlan) -> None:
    for bridge in plan.bridges:
        ports = sum(link.bridge == bridge.name for link in plan.links)
        if ports > MAX_PORTS:
            raise UnfitMachine(
                [f"bridge {bridge.name} would have {ports} ports, and Linux takes {MAX_PORTS}: use several bridges"]
            )


def _silence_ipv6(plan: LabPlan) -> None:
    """Keep the bridge side from sending: each port with IPv6 would announce itself to all others."""
    if sysctls.exists("ipv6/conf/default/disable_ipv6"):
        sysctls.write({"ipv6/conf/default/disable_ipv6": 1})
    elif any(bridge.ipv6 for bridge in plan.bridges):
        raise UnfitMachine([IPV6_CURE])


def _allow_ipv6(bridge: BridgePlan) -> None:
    settings = {"addr_gen_mode": ADDRESS_MODE_NONE, "accept_ra": 0, "router_solicitations": 0, "disable_ipv6": 0}
    sysctls.write({f"ipv6/conf/{bridge.name}/{name}": value for name, value in settings.items()})


def _create(bridge: BridgePlan) -> Request:
    first = multicast_attributes(bridge.multicast) | {
        "IFLA_BR_MCAST_QUERY_RESPONSE_INTVL": SHORTEST_RESPONSE_CS,
        "IFLA_BR_MCAST_QUERIER": 0,
    }
    kind = nested({"IFLA_INFO_KIND": "bridge", "IFLA_INFO_DATA": nested(first)})
    return new_link(f"create bridge {bridge.name}", [("IFLA_IFNAME", bridge.name), ("IFLA_LINKINFO", kind)])


def _set_up(bridge: BridgePlan, index: int) -> Iterator[Request]:
    if bridge.ipv6:
        what = f"give bridge {bridge.name} its querier's address"
        yield new_address(what, index, QUERIER_ADDRESS, family=AF_INET6, flags=IFA_F_NODAD)
    querier = {"IFLA_BR_MCAST_QUERIER": int(bridge.multicast.querier)}
    yield set_link(f"switch on the querier of {bridge.name}", index, _bridge_data(querier))
    response = {"IFLA_BR_MCAST_QUERY_RESPONSE_INTVL": bridge.multicast.query_response_cs}
    yield set_link(f"set the response interval of {bridge.name}", index, _bridge_data(response))
    yield set_link(f"bring up bridge {bridge.name}", index, up=True)


def _bridge_data(data: Mapping[str, int]) -> Sequence[tuple[str, object]]:
    return [("IFLA_LINKINFO", nested({"IFLA_INFO_KIND": "bridge", "IFLA_INFO_DATA": nested(data)}))]


def _compare(netlink: Netlink, bridges: Sequence[BridgePlan], indexes: Mapping[str, int]) -> None:
    for bridge in bridges:
        data = _data_of(netlink.links(indexes[bridge.name])[0])
        for name, asked in multicast_attributes(bridge.multicast).items():
            got = data.get_attr(name)
            # The kernel counts in ticks of its own (HZ=250: 4 ms), so an interval may come back one unit shorter.
            rounded = name.endswith("_INTVL") and got == asked - 1
            if got != asked and not rounded:
                raise LabBroken(f"bridge {bridge.name}, {name.removeprefix('IFLA_BR_')}: asked for {asked}, got {got}")


def _data_of(link: Any) -> Any:
    return link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
