"""Launchers: the first that works is taken; when none does, each says why and how to cure it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from joinlab import launchers, namespaces, pids
from joinlab.errors import UnfitMachine, UsageError
from joinlab.launchers import Launcher, Order, RunningKeeper, candidates, start_keeper
from joinlab.loop import Loop
from joinlab.namespaces import Namespace

# Starts a keeper as an ordinary user who has been denied user namespaces, by the kernel itself.
DENIED = """
import os, sys
from pathlib import Path
from joinlab import namespaces
from joinlab.errors import UnfitMachine
from joinlab.launchers import start_keeper
from joinlab.loop import Loop
namespaces.become_root_of_new_user_namespace(namespaces.Namespace.MOUNT)
Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    start_keeper(Loop(), only=sys.argv[1] or None, for_containers=bool(sys.argv[2:]))
except UnfitMachine as unfit:
    print(*unfit.missing, sep="\\n")
"""


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Return a loop, closed afterwards."""
    loop = Loop()
    yield loop
    loop.close()


def test_a_keeper_answers(loop: Loop, launcher: str) -> None:
    keeper = start_keeper(loop, only=launcher)
    assert keeper.launcher == launcher
    assert keeper.conversation.call("hello")["pid"] > 0
    keeper.close()
    keeper.close()
    assert keeper.process is not None
    assert keeper.process.returncode == 0


def test_root_comes_first_then_user_namespaces() -> None:
    assert [launcher.name for launcher in candidates(for_containers=False)] == ["root", "user namespace"]


def test_a_user_namespace_is_no_way_into_containers() -> None:
    assert [launcher.name for launcher in candidates(for_containers=True)] == ["root"]


def test_an_unknown_launcher_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no launcher 'magic': there are root, user namespace, wand"):
        candidates(for_containers=False, others=[broken("wand")], only="magic")


def test_what_each_way_lacks_is_told_at_once(loop: Loop) -> None:
    with pytest.raises(UnfitMachine) as unfit:
        start_keeper(loop, others=[broken("wand")], only="wand")
    assert unfit.value.missing == ("wand: it is broken: get another",)


def test_of_several_ways_it_is_said_that_one_is_enough(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "LAUNCHERS", (broken("rod"),))
    with pytest.raises(UnfitMachine) as unfit:
        start_keeper(loop, others=[broken("wand")])
    first, *others = unfit.value.missing
    assert first.endswith("one of these is enough:")
    assert others == ["rod: it is broken: get another", "wand: it is broken: get another"]


def broken(name: str) -> Launcher:
    """Return a launcher that knows it won't work."""

    def start(order: Order) -> RunningKeeper:
        raise AssertionError("it said that it does not work")

    return Launcher(name, lambda: "it is broken: get another", start, enters_containers=True)


def test_a_machine_without_user_namespaces_names_the_switch() -> None:
    told = denied("user namespace")
    assert told == ["user namespace: switched off: sysctl -w user.max_user_namespaces=15000"]


def denied(*arguments: str) -> list[str]:
    """Return what somebody is told who may not make user namespaces."""
    argv = [sys.executable, "-c", DENIED, *arguments]
    return subprocess.run(argv, capture_output=True, check=True, text=True, timeout=30).stdout.splitlines()


def test_a_keeper_that_can_not_start_says_why(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnfitMachine, match="user namespace: the keeper ended before it answered"):
        start_keeper(loop, only="user namespace")


def test_a_process_behind_a_user_namespace_is_found() -> None:
    """The outer process forks into a PID namespace (1), which forks into another (2, and 1 there)."""
    assert pids.outside(pid=2, ancestor=os.getpid()) is None
    read, write = os.pipe()
    outer = os.fork()
    if outer == 0:
        become_keeper_with_node(read)
    os.close(read)
    found = wait_until(lambda: pids.outside(pid=2, ancestor=outer))
    assert Path(f"/proc/{found}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    os.close(write)
    os.waitpid(outer, 0)


def become_keeper_with_node(until: int) -> None:
    """Fork as the keeper does, and end when ``until`` is closed at its other end."""
    os.closerange(until + 1, until + 2)
    namespaces.become_root_of_new_user_namespace(Namespace.PID)
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)
    namespaces.die_with_parent()
    namespaces.unshare(Namespace.PID)
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        os.read(until, 1)
    os._exit(0)


def wait_until(question: Callable[[], int | None]) -> int:
    """Ask until there is an answer; the test's own time limit ends it."""
    while (answer := question()) is None:
        os.sched_yield()
    return answer
