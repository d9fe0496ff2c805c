"""How fast the stack lets leaves in, beside plain Python sockets in the same run, and what members cost."""

import os
import resource
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from figures import Figures, seconds
from tests.bench.elsewhere import in_namespace, on_processor, process
from tests.stack.network import Pair
from tests.stack.people import LEAF, a_leaf, a_root

from multipoint import constants as c
from multipoint.errors import MultipointError
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Settings
from multipoint.wire import Endpoint

JOINS = 200
LEAVES = 500
LIVES = int(os.environ.get("LIVES", "100_000"))
IDLE_S = 6.0
# Between two joins that are timed: both ends are asleep by then.
REST_S = 0.001
# The group of the plain sockets, on the interface of the system's choice.
ANY_INTERFACE = socket.inet_aton("239.7.7.7") + bytes(4)
# Of the issue that asked for them.
JOIN_RATIO = 3.0
JOIN_MS = 1.0
LEG_KB = 30.0
IDLE_PERCENT = 1.0


@pytest.mark.timeout(300)
def test_join_over_a_link(figures: Figures) -> None:
    floor, joins = in_namespace(joins_over_a_link)
    figures.add(
        "a leaf's blocking join over a link",
        "ms",
        joins,
        floor=floor,
        floor_is="TCP connect, a message each way, IP_ADD_MEMBERSHIP",
        aim=statistics.median(floor) * JOIN_RATIO,
    )


@pytest.mark.timeout(300)
def test_many_leaves_at_once(figures: Figures) -> None:
    told = in_namespace(many_leaves)
    wall, busy = 1e3 * told["wall_s"] / LEAVES, 1e3 * told["busy_s"] / LEAVES
    note = f"{LEAVES} leaves at one root; the floor is the same without its waiting for others"
    figures.add("time of one join of many", "ms", [wall], floor=[busy], floor_is=note, aim=JOIN_MS)
    figures.add(
        "root's CPU for one join of many", "ms", [busy], floor=[JOIN_MS], floor_is="1,000 a second", aim=JOIN_MS
    )
    figures.add("root's memory for a leaf", "kB", [told["leg_kb"]], floor=[LEG_KB], floor_is="the aim", aim=LEG_KB)
    figures.add(
        f"root's CPU while {LEAVES} leaves idle",
        "%",
        [told["idle_percent"]],
        floor=[IDLE_PERCENT],
        floor_is="the aim",
        aim=IDLE_PERCENT,
    )


@pytest.mark.timeout(3600)
def test_many_lives(figures: Figures) -> None:
    told = in_namespace(lambda: many_lives(LIVES))
    (before, after), lap = told["held"], told["lap_ms"]
    figures.add(f"join and leave, one of {LIVES:,}", "ms", [lap], floor=[lap], floor_is="itself")
    for number, name in enumerate(("kB resident", "descriptors", "threads")):
        figures.add(
            f"{name} after {LIVES:,} joins and leaves",
            "",
            [after[number]],
            floor=[before[number]],
            floor_is="after the first tenth",
        )


# Joins


def joins_over_a_link() -> tuple[list[float], list[float]]:
    """Return milliseconds of the floor and of a join, with the root in another process, across a link.

    The two ends have a processor each, as two hosts have: left to the scheduler, they share one in some runs and not in
    others, and that makes more of a difference to the floor than anything else. Each begins when the one before it is
    over at both ends.
    """
    pair = Pair()
    with process(pair.left, serve_floor) as floor_at, process(pair.left, serve_root) as root_at:
        on_processor(0)
        floor, joins = [], []
        with pair.right, Stack() as stack:
            for _ in range(JOINS):
                time.sleep(REST_S)
                floor.append(1e3 * seconds(lambda: join_plainly(floor_at)))
                time.sleep(REST_S)
                with a_leaf(stack) as leaf:
                    joins.append(1e3 * seconds(lambda: leaf.join(root_at)))
                process.told()
    return floor, joins


def join_plainly(address: Endpoint) -> None:
    """Connect, ask, hear the answer, join a group."""
    with (
        socket.create_connection(address) as control,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as data,
    ):
        control.send(b"let me in")
        control.recv(100)
        data.bind(("239.7.7.7", 7777))
        data.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, ANY_INTERFACE)


def serve_floor(tell: Callable[[Any], None]) -> None:
    """Answer whoever asks."""
    on_processor(-1)
    with socket.create_server(("10.9.0.1", 0), backlog=100) as listener:
        tell(listener.getsockname())
        while True:
            caller, _ = listener.accept()
            caller.send(b"come" if caller.recv(100) else b"")
            caller.close()


def serve_root(tell: Callable[[Any], None]) -> None:
    """Let in whoever asks; tell of each who has gone."""
    on_processor(-1)
    with Stack() as stack:
        root = a_root(stack, "10.9.0.1")
        tell(root.local_address)
        while True:
            leg = root.accept()
            wait_and_close(leg)
            tell("gone")


def wait_and_close(leg: MultipointSocket) -> None:
    """Wait for the leaf's end."""
    with suppress(MultipointError):
        leg.receive()
    leg.close()


# Many leaves


def many_leaves() -> dict[str, float]:
    """Return how long 500 leaves take to join a root in another process, and what they cost it."""
    pair = Pair()
    with process(pair.left, serve_many) as root_at, pair.right, Stack() as stack:
        leaves = [a_leaf(stack) for _ in range(LEAVES)]
        for leaf in leaves:
            leaf.set_blocking(False)
        start = time.perf_counter()
        for leaf in leaves:
            with suppress(MultipointError):
                leaf.join(root_at)
        for leaf in leaves:
            with stack.lock:
                code = leaf.wait_until(lambda: next(iter(leaf._outcome), None))  # type: ignore[attr-defined]  # noqa: B023
            assert code == 0
        wall_s = time.perf_counter() - start
        told: dict[str, float] = process.told()
        return told | {"wall_s": wall_s}


def serve_many(tell: Callable[[Any], None]) -> None:
    """Let in 500 leaves, then tell what they cost."""
    with Stack() as stack:
        root = a_root(stack, "10.9.0.1", backlog=LEAVES)
        before, busy = resident_kb(), time.process_time()
        tell(root.local_address)
        legs = [root.accept() for _ in range(LEAVES)]
        assert len(legs) == LEAVES
        busy_s, leg_kb = time.process_time() - busy, (resident_kb() - before) / LEAVES
        idle = time.process_time()
        time.sleep(IDLE_S)
        idle_percent = 100 * (time.process_time() - idle) / IDLE_S
        tell({"busy_s": busy_s, "leg_kb": leg_kb, "idle_percent": idle_percent})
        signal.pause()


# Many lives


def many_lives(count: int) -> dict[str, Any]:
    """Join and leave so often in one process; return what it holds after a tenth and in the end."""
    # The kernel remembers each port for a minute: 270 lives a second would use up the usual range.
    with Stack(Settings(first_port=1024)) as stack:
        root = a_root(stack)
        accepting = threading.Thread(target=accept_all, args=[root], daemon=True)
        accepting.start()
        held, start = [], time.perf_counter()
        for number in range(1, count + 1):
            with stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, LEAF) as leaf:
                leaf.join(root.local_address)
            if number in (count // 10, count):
                held.append((resident_kb(), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
        return {"held": held, "lap_ms": 1e3 * (time.perf_counter() - start) / count}


def accept_all(root: MultipointSocket) -> None:
    """Accept, and close the legs of those who have gone."""
    while True:
        with suppress(MultipointError):
            leg = root.accept()
            leg.receive()
        leg.close()


# Memory


def resident_kb() -> float:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024
