"""The run's directory and the socket that its containers dial."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from joinlab.control import Control
from joinlab.errors import LabBroken, UnfitMachine
from joinlab.loop import Loop
from joinlab_agent.channel import Channel, ChannelClosed


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the runs' directory made in a place of the test's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "joinlab"


@pytest.fixture
def control(runs: Path) -> Iterator[Control]:
    loop = Loop()
    control = Control(loop)
    yield control
    control.close()
    loop.close()


def dial(control: Control, name: str, token: str) -> Channel:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(control.socket_path))
    channel = Channel(sock)
    channel.send({"hello": name, "token": token})
    return channel


def test_who_knows_the_token_is_let_in(control: Control) -> None:
    ends = {name: dial(control, name, control.token) for name in ("a", "b")}
    channels = control.wait_for(["a", "b"])
    channels["a"].send({"to": "a"})
    assert ends["a"].receive().body == {"to": "a"}
    for channel in (*ends.values(), *channels.values()):
        channel.close()


def test_who_does_not_know_the_token_is_hung_up_on(control: Control) -> None:
    stranger = dial(control, "a", "guessed")
    with pytest.raises(LabBroken, match="no word from a in"):
        control.wait_for(["a"], timeout_s=0.05)
    with pytest.raises(ChannelClosed):
        stranger.receive()
    stranger.close()


@pytest.mark.parametrize("hello", [{}, {"token": 1}, {"hello": ["x"]}, {"hello": "a", "token": None}])
def test_a_broken_hello_is_hung_up_on(control: Control, hello: dict[str, object]) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(control.socket_path))
    stranger = Channel(sock)
    stranger.send({"token": control.token} | hello)
    with pytest.raises(LabBroken):
        control.wait_for(["a"], timeout_s=0.05)
    with pytest.raises(ChannelClosed):
        stranger.receive()
    stranger.close()


def test_waiting_ends_with_the_problem_that_is_found(control: Control) -> None:
    with pytest.raises(LabBroken, match="node a can't be started"):
        control.wait_for(["a"], lambda: "node a can't be started")


def test_directory_is_closed_to_others_and_gone_afterwards(runs: Path) -> None:
    loop = Loop()
    control = Control(loop)
    assert control.directory.parent == runs
    assert {path.stat().st_mode & 0o077 for path in (runs, control.directory)} == {0}
    control.close()
    control.close()
    assert not runs.exists()
    loop.close()


def test_directory_that_others_can_write_is_refused(runs: Path) -> None:
    runs.mkdir()
    runs.chmod(0o777)
    with pytest.raises(UnfitMachine, match="closed to others"):
        Control(Loop())


def test_a_path_too_long_for_a_socket_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    loop = Loop()
    control = Control(loop)
    assert control.socket_path.is_socket()
    control.close()
    loop.close()
