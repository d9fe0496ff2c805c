"""IGMP and MLD messages, read by our code and by scapy alike."""

from collections.abc import Sequence

import pytest
from scapy.layers import igmp, inet6
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from joinlab.dissect import membership_of
from joinlab.frames import name_of, read_membership

GROUP, OTHER, SOURCE = "239.1.2.3", "239.4.5.6", "10.0.0.1"
GROUP6, SOURCE6 = "ff15::123", "fd00::1"


def v3(*records: tuple[int, str, Sequence[str]]) -> Packet:
    """Return an IGMPv3 report."""
    groups = [igmp.IGMPv3_MR_Group(rtype=kind, maddr=group, srcaddrs=list(sources)) for kind, group, sources in records]
    return Ether() / IP(src=SOURCE, dst="224.0.0.22") / igmp.IGMPv3_MR(records=groups)


def v6(message: Packet) -> Packet:
    """Return an MLD message with its router alert."""
    alert = inet6.IPv6ExtHdrHopByHop(options=[inet6.RouterAlert()])
    return Ether() / inet6.IPv6(src="fe80::1", dst="ff02::16", hlim=1) / alert / message


def mld2(*records: tuple[int, str, Sequence[str]]) -> Packet:
    """Return an MLDv2 report."""
    groups = [
        inet6.ICMPv6MLDMultAddrRec(rtype=kind, dst=group, sources=list(sources), sources_number=len(sources))
        for kind, group, sources in records
    ]
    return v6(inet6.ICMPv6MLReport2(records=groups, records_number=len(groups)))


def ipv4(message: Packet, to: str = GROUP) -> Packet:
    """Return an IGMP message in a frame."""
    return Ether() / IP(src=SOURCE, dst=to) / message


# packet, name, groups it joins, groups it leaves
MESSAGES = [
    (ipv4(igmp.IGMP_MR(gaddr=GROUP)), f"IGMPv1 report {GROUP}", [GROUP], []),
    (ipv4(igmp.IGMPv2_MR(gaddr=GROUP)), f"IGMPv2 report {GROUP}", [GROUP], []),
    (ipv4(igmp.IGMPv2_LG(gaddr=GROUP)), f"IGMPv2 leave {GROUP}", [], [GROUP]),
    (v3((4, GROUP, [])), f"IGMPv3 report TO_EX {GROUP}", [GROUP], []),
    (v3((3, GROUP, [])), f"IGMPv3 report TO_IN {GROUP}", [], [GROUP]),
    (v3((5, GROUP, [SOURCE])), f"IGMPv3 report ALLOW {GROUP} {{{SOURCE}}}", [GROUP], []),
    (v3((6, GROUP, [SOURCE])), f"IGMPv3 report BLOCK {GROUP} {{{SOURCE}}}", [], [GROUP]),
    (v3((2, GROUP, [])), f"IGMPv3 report IS_EX {GROUP}", [], []),
    (v3((4, GROUP, []), (3, OTHER, [])), f"IGMPv3 report TO_EX {GROUP}, TO_IN {OTHER}", [GROUP], [OTHER]),
    (ipv4(igmp.IGMP_MQ(gaddr="0.0.0.0"), "224.0.0.1"), "IGMPv2 query general", [], []),
    (ipv4(igmp.IGMP_MQ(gaddr=GROUP)), f"IGMPv2 query {GROUP}", [], []),
    (ipv4(igmp.IGMPv3_MQ(gaddr="0.0.0.0"), "224.0.0.1"), "IGMPv3 query general", [], []),
    (ipv4(igmp.IGMPv3_MQ(gaddr=GROUP)), f"IGMPv3 query {GROUP}", [], []),
    (v6(inet6.ICMPv6MLReport(mladdr=GROUP6)), f"MLDv1 report {GROUP6}", [GROUP6], []),
    (v6(inet6.ICMPv6MLDone(mladdr=GROUP6)), f"MLDv1 done {GROUP6}", [], [GROUP6]),
    (mld2((4, GROUP6, [])), f"MLDv2 report TO_EX {GROUP6}", [GROUP6], []),
    (mld2((5, GROUP6, [SOURCE6])), f"MLDv2 report ALLOW {GROUP6} {{{SOURCE6}}}", [GROUP6], []),
    (v6(inet6.ICMPv6MLQuery2()), "MLDv2 query general", [], []),
    (v6(inet6.ICMPv6MLQuery(mladdr=GROUP6)), f"MLDv1 query {GROUP6}", [], []),
]
IDS = [name for _, name, _, _ in MESSAGES]


@pytest.mark.parametrize(("packet", "name", "joined", "left"), MESSAGES, ids=IDS)
def test_a_message_is_read_as_what_it_says(packet: Packet, name: str, joined: list[str], left: list[str]) -> None:
    message = read_membership(bytes(packet))
    assert message is not None
    assert str(message) == name_of(bytes(packet)) == name
    groups = [GROUP, OTHER, GROUP6]
    assert [group for group in groups if message.joins(group)] == joined
    assert [group for group in groups if message.leaves(group)] == left


@pytest.mark.parametrize(("packet", "name", "joined", "left"), MESSAGES, ids=IDS)
def test_scapy_reads_the_same(packet: Packet, name: str, joined: list[str], left: list[str]) -> None:
    assert membership_of(bytes(packet)) == read_membership(bytes(packet))


@pytest.mark.parametrize(("packet", "name", "joined", "left"), MESSAGES, ids=IDS)
def test_a_message_cut_anywhere_is_no_error(packet: Packet, name: str, joined: list[str], left: list[str]) -> None:
    frame = bytes(packet)
    for end in range(len(frame)):
        name_of(frame[:end])
        read_membership(frame[:end])


def test_a_report_that_promises_more_records_than_it_has_is_no_message() -> None:
    frame = bytearray(bytes(v3((4, GROUP, []))))
    frame[-9] = 2
    assert read_membership(bytes(frame)) is None
    assert name_of(bytes(frame)) == "IGMP"
