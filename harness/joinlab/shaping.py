"""Shape what an interface sends: a token bucket (tbf) for the rate, netem for delay, loss and the rest.

Knows ``Shape`` and the kernel's queueing disciplines. May not know: which end of which link an interface is.
"""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pyroute2.netlink.rtnl import RTM_DELQDISC, RTM_GETQDISC, RTM_NEWQDISC, TC_H_ROOT
from pyroute2.netlink.rtnl.tcmsg import sched_netem, sched_tbf, tcmsg
from pyroute2.netlink.rtnl.tcmsg.common import calc_xmittime, percent2u32, time2tick

from joinlab.errors import LabBroken
from joinlab.netlink import CREATE, Netlink, NetlinkFailed, Request
from joinlab.plan import Shape

REPLACE = 0x100  # NLM_F_REPLACE
ROOT_HANDLE, INNER_HANDLE, INNER_PARENT = 0x10000, 0x20000, 0x10001  # 1:, 2:, 1:1
LOOPBACK = 1
# Measured: 15 kB hold 1 to 500 Mbit/s within 0.2 %, a burst of two frames loses 5 % at 100 Mbit/s. Beyond that, the
# bucket must hold what the link carries between two refills.
LEAST_BURST = 15_000
REFILLS_PER_S = 4_000
# How long a queue may become before it drops: 50 ms, what a switch port of the field holds.
QUEUE_S = 0.05
LEAST_QUEUE = 64_000
NETEM_FRAMES = 10_000
MAX_RATE_BPS = 34_000_000_000  # 32 bits of bytes a second


def burst_of(shape: Shape) -> int:
    """Return the bytes of the token bucket."""
    return shape.burst_bytes or max(LEAST_BURST, (shape.rate_bps or 0) // 8 // REFILLS_PER_S)


class Change(NamedTuple):
    """An interface whose sending is to be shaped otherwise. ``what`` is for messages."""

    interface: int  # its index
    what: str
    before: Shape
    after: Shape


def apply(netlink: Netlink, changes: Sequence[Change]) -> None:
    """Shape what interfaces of one namespace send, then read back what the kernel made of it.

    Changing values keeps queued frames; changing from one discipline to another drops them. Raises LabBroken,
    NetlinkFailed.
    """
    netlink.do(request for change in changes for request in _requests(change))
    got = _read(netlink)
    for change in changes:
        _compare(change, got.get(change.interface, {}))


def kernel_has_netem() -> bool:
    """Tell whether netem can be used, by using it: call this in a namespace that is still empty."""
    with Netlink() as netlink:
        try:
            trial = Change(LOOPBACK, "try netem", Shape(), Shape(delay_us=1))
            apply(netlink, [trial])
            apply(netlink, [trial._replace(before=trial.after, after=trial.before)])
        except NetlinkFailed as failed:
            if failed.code in (errno.ENOENT, errno.EOPNOTSUPP):
                return False
            raise
    return True


def _disciplines(shape: Shape) -> tuple[str, ...]:
    """Return the disciplines from the outer to the inner: netem, then the bucket for what comes out of it."""
    return tuple(name for name, wanted in (("netem", shape.needs_netem), ("tbf", shape.rate_bps)) if wanted)


def _requests(change: Change) -> Iterator[Request]:
    index, what, before, after = change
    if _disciplines(before) and _disciplines(before) != _disciplines(after):
        yield Request(f"{what}: unshape", RTM_DELQDISC, _message(index, TC_H_ROOT, 0))
    place = iter(((TC_H_ROOT, ROOT_HANDLE), (INNER_PARENT, INNER_HANDLE)))
    if after.needs_netem:
        yield _add(index, f"{what}: delay and loss", "netem", sched_netem.get_parameters(_netem(after)), *next(place))
    if after.rate_bps:
        yield _add(index, f"{what}: rate", "tbf", sched_tbf.get_parameters(_bucket(after)), *next(place))


def _bucket(shape: Shape) -> dict[str, int]:
    rate = (shape.rate_bps or 0) // 8
    burst = burst_of(shape)
    return {"rate": rate, "burst": burst, "limit": burst + max(LEAST_QUEUE, int(rate * QUEUE_S))}


def _netem(shape: Shape) -> dict[str, float]:
    return {
        "delay": shape.delay_us,
        "jitter": shape.jitter_us,
        "loss": shape.loss_percent,
        "duplicate": shape.duplicate_percent,
        "prob_reorder": shape.reorder_percent,
        "prob_corrupt": shape.corrupt_percent,
        "limit": NETEM_FRAMES,
    }


def _add(index: int, what: str, kind: str, options: Any, parent: int, handle: int) -> Request:
    message = _message(index, parent, handle)
    for name in ("delay", "jitter"):
        if name in options:  # pyroute2 leaves them fractions, which don't pack
            options[name] = int(options[name])
    message["attrs"] = [("TCA_KIND", kind), ("TCA_OPTIONS", options)]
    return Request(what, RTM_NEWQDISC, message, CREATE | REPLACE)


def _message(index: int, parent: int, handle: int) -> Any:
    message = tcmsg()
    message["family"] = socket.AF_UNSPEC
    message["index"], message["parent"], message["handle"] = index, parent, handle
    return message


def _compare(change: Change, got: Mapping[str, Mapping[str, int]]) -> None:
    expected = _expected(change.after)
    for kind, asked in expected.items():
        for name, value in asked.items():
            if got.get(kind, {}).get(name) != value:
                found = got.get(kind, {}).get(name)
                raise LabBroken(f"{change.what}, {kind} {name}: asked for {value}, got {found}")
    if extra := got.keys() - expected.keys():
        raise LabBroken(f"{change.what}: {', '.join(extra)} is there and was not asked for")


def _expected(shape: Shape) -> dict[str, dict[str, int]]:
    expected: dict[str, dict[str, int]] = {}
    if shape.rate_bps:
        bucket = _bucket(shape)
        buffer = calc_xmittime(bucket["rate"], bucket["burst"])
        expected["tbf"] = {"rate": bucket["rate"], "limit": bucket["limit"], "buffer": buffer}
    if shape.needs_netem:
        expected["netem"] = {
            "delay": int(time2tick(shape.delay_us)),
            "jitter": int(time2tick(shape.jitter_us)),
            "loss": percent2u32(shape.loss_percent),
            "duplicate": percent2u32(shape.duplicate_percent),
            "prob_reorder": percent2u32(shape.reorder_percent),
            "prob_corrupt": percent2u32(shape.corrupt_percent),
        }
    return expected


def _read(netlink: Netlink) -> dict[int, dict[str, dict[str, int]]]:
    """Return the numbers of our disciplines, by interface and kind."""
    request = Request("list queueing disciplines", RTM_GETQDISC, _message(0, 0, 0))
    found: dict[int, dict[str, dict[str, int]]] = {}
    for qdisc in netlink.dump(request, tcmsg):
        kind = qdisc.get_attr("TCA_KIND")
        if kind in ("tbf", "netem"):
            found.setdefault(qdisc["index"], {})[kind] = _numbers(kind, qdisc.get_attr("TCA_OPTIONS"))
    return found


def _numbers(kind: str, options: Any) -> dict[str, int]:
    if kind == "tbf":
        return dict(options.get_attr("TCA_TBF_PARMS"))
    numbers = {name: options[name] for name in ("delay", "jitter", "loss", "duplicate")}
    for attribute, name in (("TCA_NETEM_REORDER", "prob_reorder"), ("TCA_NETEM_CORRUPT", "prob_corrupt")):
        numbers[name] = (options.get_attr(attribute) or {name: 0})[name]
    return numbers
