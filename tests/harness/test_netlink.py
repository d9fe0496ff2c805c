"""Netlink in batches: all carried out, the first failure told in the kernel's words."""

import os
from collections.abc import Iterator

import pytest

from joinlab import namespaces
from joinlab import netlink as netlink_module
from joinlab.namespaces import Namespace
from joinlab.netlink import BATCH, Netlink, NetlinkFailed, nested, new_address, new_link, set_link


@pytest.fixture
def netlink() -> Iterator[Netlink]:
    """Return a socket of a network namespace of our own."""
    home = namespaces.open_namespace("self", "net")
    try:
        namespaces.unshare(Namespace.NET)
    except PermissionError:
        pytest.skip("a network namespace in this very process needs root: run as root (sudo)")
    with Netlink() as netlink:
        namespaces.enter(home, Namespace.NET)
        yield netlink
    os.close(home)


def bridge(name: str) -> list[tuple[str, object]]:
    """Return the attributes of a bridge."""
    return [("IFLA_IFNAME", name), ("IFLA_LINKINFO", nested({"IFLA_INFO_KIND": "bridge"}))]


def test_more_requests_than_a_batch_are_all_carried_out(netlink: Netlink) -> None:
    names = {f"hub{number}" for number in range(BATCH + 6)}
    netlink.do(new_link(f"create {name}", bridge(name)) for name in sorted(names))
    assert {link.get_attr("IFLA_IFNAME") for link in netlink.links()} == names | {"lo"}


def test_a_failure_names_what_was_wanted_and_what_the_kernel_said(netlink: Netlink) -> None:
    with pytest.raises(
        NetlinkFailed, match=r"give lo an address: EINVAL, Invalid argument \(.*Invalid prefix length\)"
    ) as it:
        netlink.do([set_link("bring up lo", 1, up=True), new_address("give lo an address", 1, "10.0.0.1/99", family=2)])
    assert it.value.code == 22


def test_the_first_failure_of_a_batch_is_told_and_the_rest_is_carried_out(netlink: Netlink) -> None:
    requests = [new_link(f"create {name}", bridge(name)) for name in ("one", "one", "name-that-is-too-long", "two")]
    with pytest.raises(NetlinkFailed, match="create one: EEXIST"):
        netlink.do(requests)
    assert {link.get_attr("IFLA_IFNAME") for link in netlink.links()} == {"lo", "one", "two"}
    # The answers were all read: the next question gets its own.
    netlink.do([new_link("create three", bridge("three"))])


def test_an_interface_that_is_not_there_is_told(netlink: Netlink) -> None:
    with pytest.raises(NetlinkFailed, match="read interface 77: ENODEV"):
        netlink.links(77)


def test_an_answer_that_does_not_come_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink_module, "ANSWER_WITHIN_S", 0.02)
    with Netlink() as netlink, pytest.raises(NetlinkFailed, match="wait for the kernel's answer: ETIMEDOUT"):
        next(netlink._receive())
