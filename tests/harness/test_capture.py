"""Capture and expectations on a real fabric: what hosts in namespaces do must be found, what they don't do must not."""

import sys
from collections.abc import Iterator
from pathlib import Path
from select import select
from subprocess import run
from typing import Any

import pytest

from joinlab.artefacts import write_artefacts
from joinlab.capture import FRAMES_LOST
from joinlab.errors import ExpectationFailed, UsageError
from joinlab.lab import Lab
from joinlab.loop import Pending
from joinlab.planning import plan
from joinlab.questions import datagram
from joinlab.topology import load
from joinlab.trace import Kind, Record, read
from joinlab.words import Provider

TOPOLOGY = """
name: bench
bridges:
  hub: {{ipv4: 10.78.0.0/16, ipv6: "fd00:78::/64", multicast: {{preset: test, igmp: {igmp}, mld: {mld}}}}}
nodes:
  root: {{role: root}}
  leaf: {{role: leaf, count: 3}}
links:
  - {{from: [root, leaf], to: hub}}
"""
GROUP, OTHER_GROUP, SSM_GROUP, GROUP6 = "239.1.2.3", "239.4.5.6", "232.4.5.6", "ff15::123"
PORT = 5353  # scapy would take it for mDNS

# A member: joins a group, waits until it has heard "end", leaves. IPv4 or IPv6, any source or one.
MEMBER = """
import socket, struct, sys
group, port, source, own = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
if ":" in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("", port))
    packed = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", socket.if_nametoindex("eth0"))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    packed = socket.inet_aton(group) + socket.inet_aton(own)
    if source:
        s.setsockopt(socket.IPPROTO_IP, 39, packed + socket.inet_aton(source))
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed)
while s.recv(65535) != b"end":
    pass
"""
# A sender: sends each "address=payload" in order; after a payload "slow..." it rests a millisecond.
SENDER = """
import socket, sys, time
for pair in sys.argv[2:]:
    address, _, payload = pair.partition("=")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(payload.encode() * (200 if payload.startswith("big") else 1), (address, int(sys.argv[1])))
    time.sleep(0.001 if payload.startswith("slow") else 0)
"""


class Bench:
    """A lab without apps: hosts that run small programs."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.expect = lab.expectations()

    def member(self, node: str, group: str, source: str = "") -> Pending[Any]:
        """Start a member; it leaves when it hears "end"."""
        return self._start(node, MEMBER, group, str(PORT), source, self.lab.node(node).host)

    def send(self, node: str, *pairs: str) -> None:
        """Send datagrams and wait until they are sent."""
        value = self.start_to_send(node, *pairs).result()
        assert value["status"] == 0, value

    def start_to_send(self, node: str, *pairs: str) -> Pending[Any]:
        """Send datagrams."""
        return self._start(node, SENDER, str(PORT), *pairs)

    def _start(self, node: str, program: str, *arguments: str) -> Pending[Any]:
        conversation = self.lab.node(node)._conversation
        return conversation.start("run", argv=[sys.executable, "-c", program, *arguments])


def make_lab(folder: Path, igmp: int, mld: int) -> Lab:
    """Return a star with three leaves, not yet started."""
    file = folder / "bench.yaml"
    file.write_text(TOPOLOGY.format(igmp=igmp, mld=mld))
    return Lab(plan(load(str(file))), "netns")


@pytest.fixture(scope="module")
def bench3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench whose hosts speak IGMPv3 and MLDv2."""
    with make_lab(tmp_path_factory.mktemp("bench"), 3, 2) as lab:
        yield Bench(lab)


@pytest.fixture
def bench(bench3: Bench) -> Bench:
    """Return a bench with a zero point of this test, and no groups left from the one before."""
    bench3.lab.settle()
    bench3.expect.from_now()
    return bench3


def test_join_traffic_and_leave_are_found(bench: Bench) -> None:
    expect = bench.expect
    member = bench.member("leaf1", GROUP)
    join = expect.igmp_join("leaf1", GROUP, version=3)
    assert f"TO_EX {GROUP}" in join.name
    expect.bridge_joined("leaf1", GROUP)
    bench.send("root", f"{GROUP}=hello", f"{GROUP}=end")
    sent = expect.sent("root", payload=b"hello")
    forwarded = expect.forwarded("leaf1", payload=b"hello", by="root")
    assert forwarded.facts["destination"] == GROUP
    assert member.result()["status"] == 0
    leave = expect.igmp_leave("leaf1", GROUP)
    forgot = expect.bridge_forgot("leaf1", GROUP)
    assert join.ns < sent.ns < forwarded.ns < leave.ns < forgot.ns
    assert bench.lab.capture.lost == 0


def test_a_group_frame_reaches_members_only(bench: Bench) -> None:
    expect = bench.expect
    member = bench.member("leaf1", GROUP)
    expect.bridge_joined("leaf1", GROUP)
    bystander = bench.lab.node("leaf3").host
    bench.send("root", f"{GROUP}=hello", f"{bystander}=control", f"{GROUP}=end")
    expect.forwarded("leaf1", payload=b"hello")
    control = expect.forwarded("leaf3", payload=b"control")
    expect.not_forwarded("leaf3", payload=b"hello", control=control)
    expect.not_forwarded("leaf3", group=GROUP, control=control)
    member.result()


def test_absence_fails_when_the_thing_was_there(bench: Bench) -> None:
    expect = bench.expect
    host = bench.lab.node("leaf3").host
    bench.send("root", f"{host}=hello", f"{host}=control")
    control = expect.forwarded("leaf3", payload=b"control")
    with pytest.raises(ExpectationFailed, match="seen, and should not have been: datagram payload b'hello'") as failure:
        expect.not_forwarded("leaf3", payload=b"hello", control=control)
    assert "? " in str(failure.value)


def test_absence_fails_when_frames_were_lost(bench: Bench) -> None:
    expect = bench.expect
    host = bench.lab.node("leaf3").host
    bench.send("root", f"{host}=control")
    control = expect.forwarded("leaf3", payload=b"control")
    expect.not_forwarded("leaf3", payload=b"hello", control=control)
    lost = Record(control.ns + 5, Kind.LINK, "", "", FRAMES_LOST, {"frames": 3, "since_ns": control.ns - 5})
    bench.lab.trace.add(lost)
    with pytest.raises(ExpectationFailed, match="the capture lost 3 frames"):
        expect.not_forwarded("leaf3", payload=b"hello", control=control)


def test_a_control_on_another_link_or_in_the_other_direction_is_refused(bench: Bench) -> None:
    expect = bench.expect
    bench.send("root", f"{bench.lab.node('leaf3').host}=control")
    there = expect.forwarded("leaf3", payload=b"control")
    sent = expect.sent("root", payload=b"control")
    with pytest.raises(UsageError, match="must be a frame to leaf2"):
        expect.not_forwarded("leaf2", payload=b"hello", control=there)
    with pytest.raises(UsageError, match="must be a frame to root"):
        expect.not_forwarded("root", payload=b"hello", control=sent)
    with pytest.raises(UsageError, match="older than the zero point"):
        expect.not_forwarded("leaf3", payload=b"hello", control=there, since=bench.lab.trace.mark())


def test_reports_flooded_by_the_bridge_are_not_taken_for_those_of_others(bench: Bench) -> None:
    expect = bench.expect
    member = bench.member("leaf1", GROUP)
    expect.bridge_joined("leaf1", GROUP)
    other = bench.member("leaf2", OTHER_GROUP)
    control = expect.igmp_join("leaf2", OTHER_GROUP)
    expect.no_igmp("leaf2", GROUP, control=control)
    with pytest.raises(ExpectationFailed, match="about any group beyond the link"):
        expect.no_igmp("leaf2", control=control)
    bench.send("root", f"{GROUP}=control", f"{OTHER_GROUP}=end", f"{GROUP}=end")
    with pytest.raises(UsageError, match="must be IGMP or MLD of leaf1"):
        expect.no_igmp("leaf1", OTHER_GROUP, control=expect.forwarded("leaf1", payload=b"control"))
    member.result()
    other.result()


def test_a_join_of_one_source_is_a_join(bench: Bench) -> None:
    expect = bench.expect
    root = bench.lab.node("root").host
    member = bench.member("leaf1", SSM_GROUP, root)
    # The host repeats its last leave (robustness), so a report may speak of both.
    assert f"ALLOW {SSM_GROUP} {{{root}}}" in expect.igmp_join("leaf1", SSM_GROUP).name
    expect.bridge_joined("leaf1", SSM_GROUP)
    bench.send("root", f"{SSM_GROUP}=end")
    member.result()
    expect.igmp_leave("leaf1", SSM_GROUP)
    # The entry of the source goes first; the group is forgotten when its own has gone.
    assert expect.bridge_forgot("leaf1", SSM_GROUP).facts["source"] is None
    assert bench.lab.groups() == frozenset()


def test_ipv6_groups_are_told_by_mld(bench: Bench) -> None:
    expect = bench.expect
    member = bench.member("leaf1", GROUP6)
    assert f"TO_EX {GROUP6}" in expect.igmp_join("leaf1", GROUP6).name
    expect.bridge_joined("leaf1", GROUP6)
    bench.send("root", f"{GROUP6}=end")
    expect.forwarded("leaf1", group=GROUP6, payload=b"end")
    member.result()
    expect.igmp_leave("leaf1", GROUP6)


def test_a_datagram_in_fragments_is_known_by_its_first(bench: Bench) -> None:
    expect = bench.expect
    host = bench.lab.node("leaf2").host
    bench.send("root", f"{host}=big datagram", f"{host}=control")
    expect.forwarded("leaf2", payload=b"big datagram" * 200)
    control = expect.forwarded("leaf2", payload=b"control")
    expect.not_forwarded("leaf2", payload=b"big letter" * 200, control=control)


def test_the_files_of_a_run_hold_the_packets(bench: Bench, tmp_path: Path) -> None:
    host = bench.lab.node("leaf2").host
    bench.send("root", f"{host}=in the file")
    record = bench.expect.forwarded("leaf2", payload=b"in the file")
    trace_file, capture_file = write_artefacts(tmp_path, bench.lab.trace, bench.lab.plan)
    (same,) = [found for found in read(trace_file) if found.ns == record.ns and found.node == "leaf2"]
    assert same.facts["payload"] == b"in the file"
    show = ["tshark", "-r", str(capture_file), "-Y", f"frame.number == {same.facts['number']}", "-T", "fields"]
    show += ["-d", f"udp.port=={PORT},data", "-e", "data.data", "-e", "frame.interface_name"]
    show += ["-e", "frame.packet_flags_direction"]
    output = run(show, capture_output=True, text=True, check=True).stdout.split()
    assert output == [b"in the file".hex(), record.facts["port"], "0x00000002"]


def test_hosts_of_the_old_versions(tmp_path: Path) -> None:
    with make_lab(tmp_path, 2, 1) as lab:
        bench = Bench(lab)
        expect = bench.expect
        for group, join, leave in (
            (GROUP, f"IGMPv2 report {GROUP}", f"IGMPv2 leave {GROUP}"),
            (GROUP6, f"MLDv1 report {GROUP6}", f"MLDv1 done {GROUP6}"),
        ):
            member = bench.member("leaf1", group)
            assert expect.igmp_join("leaf1", group).name == join
            expect.bridge_joined("leaf1", group)
            bench.send("root", f"{group}=end")
            member.result()
            assert expect.igmp_leave("leaf1", group).name == leave
            expect.bridge_forgot("leaf1", group)


def test_a_burst_is_captured_whole(bench: Bench) -> None:
    host = bench.lab.node("leaf2").host
    bench.send("root", *(f"{host}=number {number}" for number in range(2000)))
    bench.lab.capture.catch_up()
    burst = datagram("leaf2", from_node=False, source=bench.lab.node("root").host)
    payloads = [record.facts["payload"] for record in bench.lab.trace.select(burst, bench.expect.since)]
    assert payloads == [f"number {number}".encode() for number in range(2000)]


def test_a_test_that_does_not_wait_for_a_while_loses_nothing(bench: Bench) -> None:
    host = bench.lab.node("leaf2").host
    sending = bench.start_to_send("root", *(f"{host}=slow {number}" for number in range(200)))
    # Waits for the answer without pumping the loop, so nothing is read meanwhile.
    select([bench.lab.node("root")._conversation._channel], [], [], 10)
    assert sending.is_done
    bench.lab.capture.catch_up()
    assert bench.lab.capture.lost == 0
    bench.expect.forwarded("leaf2", payload=b"slow 199")


def test_catching_up_lets_in_what_was_sent_just_now(bench: Bench) -> None:
    sender = bench.lab.node("root").app().socket(Provider.MCAST)
    host = bench.lab.node("leaf2").host
    for number in range(20):
        payload = b"just now %d" % number
        sender.send_to(payload, (host, PORT))
        bench.lab.capture.catch_up()
        question = datagram("leaf2", from_node=False, payload=payload)
        assert bench.lab.trace.first(question, bench.expect.since) is not None
