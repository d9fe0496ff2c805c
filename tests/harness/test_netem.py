"""Delay, loss and the rest by netem, on a kernel that has it: this one, or one in an emulated machine."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import virtual_machine

from joinlab.errors import UnfitMachine
from joinlab.lab import Lab
from joinlab.plan import LabPlan, Shape
from joinlab.planning import plan
from joinlab.topology import load

TOPOLOGY = """
name: slow
bridges:
  hub: {ipv4: 10.77.0.0/24}
nodes:
  root: {role: root}
  leaf: {role: leaf}
links:
  - {from: root, to: hub, rate: 100 Mbit/s}
  - {from: leaf, to: hub, rate: 100 Mbit/s, delay: 30 ms}
"""
DELAY_NS = 30_000_000
PORT = 5000
SEND = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), (sys.argv[2], {port}))"
BOOT_TIMEOUT_S = 240.0

INSIDE = "JOINLAB_TEST_NEEDS_NETEM"


@pytest.fixture
def slow(tmp_path: Path) -> LabPlan:
    """Two nodes, one behind a slow link."""
    file = tmp_path / "slow.yaml"
    file.write_text(TOPOLOGY)
    return plan(load(str(file)))


def refusal_of(lab: Lab) -> str | None:
    """Start a lab and return why this machine can't, or None."""
    try:
        lab.start()
    except UnfitMachine as error:
        return str(error)
    lab.close()
    return None


@pytest.fixture
def lab(slow: LabPlan) -> Iterator[Lab]:
    """The lab; skips where the kernel has no netem."""
    refusal = refusal_of(Lab(slow, "netns"))
    # The machine with the other kernel is there for netem; were it missing there too, nothing would be proved.
    if refusal is not None and INSIDE not in os.environ:
        pytest.skip(f"{refusal}; test_all_of_this_in_a_kernel_with_netem runs it")
    with Lab(slow, "netns") as lab:
        yield lab


def send(lab: Lab, payload: str) -> None:
    done = lab.root.run(sys.executable, "-c", SEND.format(port=PORT), payload, lab.leaves[0].host)
    assert done.status == 0, done.stderr


def test_delayed_link_delays_what_it_carries(lab: Lab) -> None:
    expect = lab.expectations()
    send(lab, "late")
    into_bridge = expect.sent(lab.root, payload=b"late")
    out_of_bridge = expect.forwarded(lab.leaves[0], payload=b"late")
    # A queueing discipline may hold a frame longer on a busy machine, and never shorter.
    assert out_of_bridge.ns - into_bridge.ns >= DELAY_NS


def test_link_that_loses_everything_lets_through_again_when_mended(lab: Lab) -> None:
    leaf, expect = lab.leaves[0], lab.expectations()
    send(lab, "before")
    expect.forwarded(leaf, payload=b"before")
    lab.shape(leaf.name, down=Shape(loss_percent=100.0))
    send(lab, "lost")
    expect.sent(lab.root, payload=b"lost")
    lab.shape(leaf.name)
    send(lab, "after")
    control = expect.forwarded(leaf, payload=b"after")
    expect.not_forwarded(leaf, payload=b"lost", control=control)


def test_delay_without_netem_is_refused_in_one_line(slow: LabPlan) -> None:
    refusal = refusal_of(Lab(slow, "netns"))
    if refusal is None:
        pytest.skip("this kernel has netem, so nothing is refused; CI has a kernel without")
    assert "netem" in refusal
    assert "\n" not in refusal


@pytest.mark.timeout(BOOT_TIMEOUT_S + 60)
def test_all_of_this_in_a_kernel_with_netem(tmp_path: Path) -> None:
    if INSIDE in os.environ:
        pytest.skip("this is the kernel with netem")
    if missing := virtual_machine.missing():
        pytest.skip("; ".join(missing))
    pytest_here = [virtual_machine.python(), "-m", "pytest", "-p", "no:cacheprovider", "--color=no", __file__]
    command = virtual_machine.environment_of(pytest_here, **{INSIDE: "1", "PATH": "/bin", "HOME": "/tmp"})
    done = virtual_machine.run(command, tmp_path, BOOT_TIMEOUT_S)
    print(done.stdout)
    assert done.returncode == 0, "the console stands above"
    assert "2 passed, 2 skipped" in done.stdout
