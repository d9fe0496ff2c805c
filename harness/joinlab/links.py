"""Make the links: a veth pair straight from bridge port into node, addressed, up, with what the plan says.

Knows the plan, netlink and namespaces. May not know: processes, runtimes, shaping.
"""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pyroute2.netlink.rtnl import RTM_NEWROUTE
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from joinlab import namespaces, sysctls
from joinlab.errors import LabBroken
from joinlab.fabric import IFA_F_NODAD
from joinlab.netlink import CREATE, Netlink, Request, nested, new_address, new_link, set_link
from joinlab.plan import LabPlan, LinkPlan

LOOPBACK = 1  # the index of lo in every namespace
IFF_UP = 0x1
TABLE_MAIN, PROTO_STATIC, SCOPE_LINK, UNICAST = 254, 4, 253, 1
MULTICAST_PREFIX, MULTICAST_LENGTH = "224.0.0.0", 4
# What a node's interface is told besides its address. Duplicate detection would cost a second before IPv6 works, and
# addresses come from the plan, so there can be no duplicate; routers don't exist unless a topology has one.
QUIET_IPV6 = {"disable_ipv6": 0, "accept_dad": 0, "dad_transmits": 0, "accept_ra": 0, "router_solicitations": 0}


def make(netlink: Netlink, plan: LabPlan, bridges: Mapping[str, int], spaces: Mapping[str, int], home: int) -> None:
    """Make all links of ``plan``. ``spaces``: each node's open network namespace; ``home``: the fabric's.

    Raises LabBroken when the kernel gives something else than was asked for.
    """
    netlink.do(_create(link, bridges[link.bridge], spaces[link.node]) for link in plan.links)
    netlink.do(_port_settings(netlink, plan))
    for node, links in groupby(sorted(plan.links, key=lambda link: link.node), key=lambda link: link.node):
        with namespaces.inside(spaces[node], home):
            _configure(tuple(links))
    _compare_ports(netlink, plan, bridges)


def ports(netlink: Netlink) -> dict[str, int]:
    """Return the indexes of all interfaces of the fabric by name."""
    return {link.get_attr("IFLA_IFNAME"): link["index"] for link in netlink.links()}


def set_carrier(netlink: Netlink, port: str, *, up: bool) -> None:
    """Pull the cable out of a port, or plug it in: the node's interface loses or gets its carrier."""
    netlink.do([set_link(f"{'mend' if up else 'cut'} {port}", socket.if_nametoindex(port), up=up)])


def _create(link: LinkPlan, bridge: int, space: int) -> Request:
    peer = {
        "attrs": [("IFLA_IFNAME", link.interface), ("IFLA_ADDRESS", link.mac), ("IFLA_NET_NS_FD", space)],
        "index": 0,
    }
    veth = nested({"IFLA_INFO_KIND": "veth", "IFLA_INFO_DATA": nested({"VETH_INFO_PEER": peer})})
    what = f"create {link.interface} of {link.node} on bridge {link.bridge}"
    # Only the near end may be brought up here: the far end opens before it is paired (ENOTCONN).
    return new_link(what, [("IFLA_IFNAME", link.port), ("IFLA_MASTER", bridge), ("IFLA_LINKINFO", veth)], up=True)


def _port_settings(netlink: Netlink, plan: LabPlan) -> Iterator[Request]:
    fast = _fast_leave(plan)
    indexes = ports(netlink) if fast else {}
    slave = nested({"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": nested({"IFLA_BRPORT_FAST_LEAVE": 1})})
    for link in plan.links:
        if link.bridge in fast:
            yield set_link(f"let {link.port} forget at once", indexes[link.port], [("IFLA_LINKINFO", slave)])


def _fast_leave(plan: LabPlan) -> set[str]:
    return {bridge.name for bridge in plan.bridges if bridge.multicast.fast_leave}


def _port_data(port: Any) -> Any:
    return port.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_SLAVE_DATA")


def _configure(links: Sequence[LinkPlan]) -> None:
    """Configure one node's interfaces; the caller is in the node's namespace."""
    for link in links:
        sysctls.write(_settings(link))
    indexes = {link.interface: socket.if_nametoindex(link.interface) for link in links}
    with Netlink() as netlink:
        netlink.do([set_link("bring up lo", LOOPBACK, up=True), *_interface_requests(links, indexes)])
        _compare_node(netlink, links, indexes)


def _settings(link: LinkPlan) -> dict[str, int]:
    settings = {f"ipv4/conf/{link.interface}/force_igmp_version": link.igmp_version}
    ipv6 = f"ipv6/conf/{link.interface}"
    if link.repeat_ms is not None:
        settings[f"ipv4/conf/{link.interface}/igmpv2_unsolicited_report_interval"] = link.repeat_ms
    if link.ipv6:
        settings |= {f"{ipv6}/{name}": value for name, value in QUIET_IPV6.items()}
        settings[f"{ipv6}/force_mld_version"] = link.mld_version
        if link.repeat_ms is not None:
            settings[f"{ipv6}/mldv1_unsolicited_report_interval"] = link.repeat_ms
    elif sysctls.exists(ipv6):
        settings[f"{ipv6}/disable_ipv6"] = 1
    return settings


def _interface_requests(links: Sequence[LinkPlan], indexes: Mapping[str, int]) -> Iterator[Request]:
    for link in links:
        index, name = indexes[link.interface], f"{link.interface} of {link.node}"
        yield new_address(f"give {name} {link.ipv4}", index, link.ipv4, family=socket.AF_INET)
        if link.ipv6:
            flags = IFA_F_NODAD
            yield new_address(f"give {name} {link.ipv6}", index, link.ipv6, family=socket.AF_INET6, flags=flags)
        yield set_link(f"bring up {name}", index, up=True)
    first = links[0]
    # Without it a join on any interface fails (ENODEV) and so does sending to a group (ENETUNREACH): a node of a
    # lab has no gateway. Groups of IPv6 need none, the kernel makes it with the interface.
    yield _multicast_route(f"route groups to {first.interface} of {first.node}", indexes[first.interface])


def _multicast_route(what: str, index: int) -> Request:
    message = rtmsg()
    message["family"] = socket.AF_INET
    message["dst_len"] = MULTICAST_LENGTH
    message["table"], message["proto"], message["scope"], message["type"] = (
        TABLE_MAIN,
        PROTO_STATIC,
        SCOPE_LINK,
        UNICAST,
    )
    message["attrs"] = [("RTA_DST", MULTICAST_PREFIX), ("RTA_OIF", index)]
    return Request(what, RTM_NEWROUTE, message, CREATE)


def _compare_node(netlink: Netlink, links: Sequence[LinkPlan], indexes: Mapping[str, int]) -> None:
    addresses = {(a["index"], f"{a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}") for a in netlink.addresses()}
    for link in links:
        index = indexes[link.interface]
        (interface,) = netlink.links(index)
        _compare(link, "address of the card", link.mac, interface.get_attr("IFLA_ADDRESS"))
        _compare(link, "up", True, bool(interface["flags"] & IFF_UP))
        for address in filter(None, (link.ipv4, link.ipv6)):
            _compare(link, f"address {address}", True, (index, address) in addresses)


def _compare_ports(netlink: Netlink, plan: LabPlan, bridges: Mapping[str, int]) -> None:
    fast = _fast_leave(plan)
    got = {port.get_attr("IFLA_IFNAME"): port for port in netlink.links()}
    for link in plan.links:
        port: Any = got.get(link.port)
        if port is None:
            raise LabBroken(f"port {link.port} is missing on bridge {link.bridge}")
        _compare(link, "bridge", bridges[link.bridge], port.get_attr("IFLA_MASTER"))
        _compare(link, "port up", True, bool(port["flags"] & IFF_UP))
        _compare(link, "fast leave", link.bridge in fast, bool(_port_data(port).get_attr("IFLA_BRPORT_FAST_LEAVE")))


def _compare(link: LinkPlan, what: str, asked: object, got: object) -> None:
    if asked != got:
        raise LabBroken(f"{link.interface} of {link.node}, {what}: asked for {asked}, got {got}")


def open_spaces(pids: Mapping[str, int]) -> dict[str, int]:
    """Open the network namespace of each node's process. Raises LabBroken; the caller closes the descriptors."""
    spaces: dict[str, int] = {}
    try:
        for node, pid in pids.items():
            spaces[node] = namespaces.open_namespace(pid, "net")
    except OSError as error:
        close_spaces(spaces)
        raise LabBroken(f"node {node} (process {pid}) can't be entered: {error.strerror}") from error
    return spaces


def close_spaces(spaces: Mapping[str, int]) -> None:
    """Close what ``open_spaces`` opened."""
    for descriptor in spaces.values():
        os.close(descriptor)
