"""Hosts whose report came after their leave, and how to have them leave again.

An IGMPv2 or MLDv1 host sends its first report about 10 ms after the join, from a timer, and its leave at once, only
once. When an app ends in that moment, the kernel may send the leave first and the report behind it (seen on Linux 6.18
under load): the bridge then forwards a group that nobody wants, for the membership interval of four minutes.

May not know: how a lab is built.
"""

from joinlab import questions
from joinlab.node import LabNode
from joinlab.trace import Trace

# Joins, and lives until it is killed: then the kernel leaves.
MEMBER = """
import ipaddress, signal, socket, struct, sys
group = ipaddress.ip_address(sys.argv[1])
if group.version == 4:
    member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group.packed + socket.inet_aton("0.0.0.0"))
else:
    member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.packed + struct.pack("=I", 0))
signal.pause()
"""


def reported_after_leaving(trace: Trace, node: str, group: str) -> bool:
    """Tell whether the last that the node's host said of the group is a report behind a leave."""
    leaves, joins = trace.select(questions.leaves(node, group)), trace.select(questions.joins(node, group))
    return bool(leaves and joins) and leaves[-1].ns <= joins[-1].ns


def leave_again(trace: Trace, node: LabNode, group: str) -> None:
    """Have the host join once more and leave when its report is out. Raises ExpectationFailed if it does not report."""
    mark = trace.mark()
    member = node.start("python3", "-c", MEMBER, group)
    try:
        trace.wait_for(questions.joins(node.name, group), since=mark)
    finally:
        member.kill()
