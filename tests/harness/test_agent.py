"""The agent and the processes it starts, in a process of their own without any namespace."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from joinlab.app import App
from joinlab.errors import LabBroken
from joinlab.loop import Loop
from joinlab.node import LabNode, end_apps
from joinlab.plan import LinkPlan, NodePlan
from joinlab.trace import Kind, Question, Trace
from joinlab_agent import agent
from joinlab_agent.channel import Channel

LINK = LinkPlan("solo", "eth0", "hub", "solo", "02:00:00:00:00:01", "127.0.0.1/8", None, 3, 2)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Return a loop, closed afterwards."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def trace(loop: Loop) -> Trace:
    """Return an empty Trace."""
    return Trace(loop)


@pytest.fixture
def node(loop: Loop, trace: Trace) -> Iterator[LabNode]:
    """Return a node whose agent is a child of this process; it must have ended by itself at the end."""
    ours, theirs = Channel.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        # pytest has put its own in their place; a node has none.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        agent.main(theirs)
    theirs.close()
    node = LabNode(loop, trace, NodePlan("solo", "root"), (LINK,), ours)
    yield node
    node.close()
    assert os.waitpid(pid, 0)[0] == pid


def bare_app(node: LabNode) -> App:
    """Start an app without starting its stack."""
    return node.start_fork(None)()


def end_of(app: App) -> Question:
    """Ask for the record of an app's end."""
    return Question(f"the end of {app!r}", Kind.NODE, app.node.name, app.name, lambda record: record.name == "ended")


def is_alive(pid: int) -> bool:
    """Tell whether a process is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_command_gives_status_and_both_outputs(node: LabNode) -> None:
    done = node.run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_command_with_much_output_is_read_while_it_runs(node: LabNode) -> None:
    done = node.run(sys.executable, "-c", "print('x' * 1_000_000)")
    assert len(done.stdout) == 1_000_001


def test_command_that_takes_too_long_is_killed(node: LabNode) -> None:
    assert node.run("sleep", "60", timeout_s=0.05).status == -signal.SIGKILL


def test_daemon_that_keeps_the_pipes_open_is_not_waited_for(node: LabNode, trace: Trace) -> None:
    done = node.run("sh", "-c", "sleep 60 & echo $!")
    assert done.status == 0
    os.kill(int(done.stdout), signal.SIGKILL)


def test_command_that_does_not_exist_is_an_error_that_names_it(node: LabNode) -> None:
    with pytest.raises(LabBroken, match="no-such-program"):
        node.run("no-such-program")
    assert node.run("true").status == 0


@pytest.mark.parametrize("argv", [(), ("echo", "\0")])
def test_command_that_can_not_be_one_is_an_error_and_the_agent_lives_on(node: LabNode, argv: tuple[str, ...]) -> None:
    with pytest.raises(LabBroken, match=r"range|null byte"):
        node.run(*argv)
    assert node.run("true").status == 0


def test_unknown_verb_is_refused_and_the_agent_lives_on(node: LabNode) -> None:
    with pytest.raises(LabBroken, match="no verb 'dance'"):
        node._conversation.call("dance")
    assert node.run("true").status == 0


def test_commands_run_side_by_side(node: LabNode) -> None:
    sleeping = node._conversation.start("run", argv=["sleep", "60"], timeout_s=0.2)
    assert node.run("true").status == 0
    assert not sleeping.is_done
    assert sleeping.result()["status"] == -signal.SIGKILL


def test_each_app_is_a_process_of_its_own(node: LabNode) -> None:
    first, second = bare_app(node), bare_app(node)
    assert len({first.pid, second.pid, os.getpid()}) == 3


def test_two_apps_of_one_name_are_refused(node: LabNode) -> None:
    node.start_fork("twin")()
    with pytest.raises(LabBroken, match="'twin' runs already"):
        node.start_fork("twin")()


def test_app_holds_no_descriptor_of_agent_or_harness(node: LabNode) -> None:
    app = bare_app(node)
    with pytest.raises(LabBroken):
        app.call("anything, to know that it is up")
    descriptors = os.listdir(f"/proc/{app.pid}/fd")  # noqa: PTH208 - names are what is asked for
    assert len(descriptors) == 4  # 0, 1, 2 and the channel


def test_app_ends_when_its_channel_closes_and_the_node_says_so(node: LabNode, trace: Trace) -> None:
    app = bare_app(node)
    app.close()
    assert trace.wait_for(end_of(app)).facts["status"] == 0
    assert not is_alive(app.pid)
    assert not node.apps


def test_killed_app_is_reported_with_its_signal(node: LabNode, trace: Trace) -> None:
    app = bare_app(node)
    app.kill()
    assert trace.wait_for(end_of(app)).facts["status"] == -signal.SIGKILL
    end_apps(trace, [app])


def test_call_on_an_app_that_has_ended_fails_at_once(node: LabNode, trace: Trace) -> None:
    app = bare_app(node)
    app.kill()
    trace.wait_for(end_of(app))
    with pytest.raises(LabBroken, match="ended"):
        app.call("WSACleanup")
    with pytest.raises(LabBroken, match="has ended"):
        app.call("WSACleanup")


def test_what_an_app_cannot_do_is_an_error_with_its_name(node: LabNode) -> None:
    with pytest.raises(LabBroken, match="no call 'dance'"):
        bare_app(node).call("dance")


def test_apps_end_when_the_agent_is_killed(node: LabNode, loop: Loop) -> None:
    app = bare_app(node)
    parent = int(node.run("sh", "-c", "echo $PPID").stdout)
    os.kill(parent, signal.SIGKILL)
    assert loop.wait_for(lambda: True if not app.is_running else None, 5.0)


def test_what_an_app_prints_becomes_the_nodes_log(node: LabNode, trace: Trace) -> None:
    app = bare_app(node)
    # Not JSON: the app ends with a traceback.
    app._conversation._channel._sock.sendall(b"\0\0\0\1{")
    trace.wait_for(end_of(app))
    assert "JSONDecodeError" in "".join(node.log)
