"""Does a program really join its group, hear it, and leave it? Nothing of joinlab runs in it: it could be yours."""

from joinlab.expect import Expectations
from joinlab.lab import Lab

RECEIVER = """
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("", 5000))
membership = socket.inet_aton("239.1.2.3") + socket.inet_aton("0.0.0.0")
receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
receiver.recv(100)
"""
SENDER = 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"hello", ("239.1.2.3", 5000))'


def test_receiver_joins_hears_and_leaves(lab: Lab, expect: Expectations) -> None:
    leaf = lab.leaves[0]
    receiver = leaf.start("python3", "-c", RECEIVER)
    expect.igmp_join(leaf, "239.1.2.3")
    expect.bridge_joined(leaf, "239.1.2.3")
    lab.root.run("python3", "-c", SENDER)
    expect.forwarded(leaf, payload=b"hello", by=lab.root)
    assert receiver.result().status == 0
    expect.igmp_leave(leaf, "239.1.2.3")
    expect.bridge_forgot(leaf, "239.1.2.3")
