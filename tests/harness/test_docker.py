"""Nodes as containers, and the keeper as one: what they may do, how they end, what is said when they can't start."""

import io
import json
import os
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from docker import DockerClient

from joinlab import helper
from joinlab.base import base_tag
from joinlab.containers import of_run
from joinlab.control import Control
from joinlab.engine import engine, engine_problem
from joinlab.errors import LabBroken, UnfitMachine
from joinlab.helper import NAME as HELPER
from joinlab.helper import helper_launcher
from joinlab.image import OFFICIAL_BASE, ensure_image
from joinlab.launchers import start_keeper
from joinlab.loop import Conversation, Loop
from joinlab.marks import LABEL_NODE, LABEL_OWNER, LABEL_PROCESS, this_process
from joinlab.plan import NodePlan
from joinlab.runtimes.base import Node
from joinlab.runtimes.docker import DockerRuntime
from joinlab.runtimes.netns import NetnsRuntime

pytestmark = pytest.mark.skipif(engine_problem() is not None, reason=str(engine_problem()))

IDENTITY = """
import json, os, re, socket
status = dict(re.findall(r"(?m)^(\\w+):\\s*(\\S+)", open("/proc/self/status").read()))
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "host": socket.gethostname(),
    "interfaces": os.listdir("/sys/class/net"),
    "privileges": [int(status["CapPrm"], 16), int(status["CapBnd"], 16), 1 - int(status["NoNewPrivs"])],
}))
"""
WRITE = """
import errno
try:
    open("/file", "w")
except OSError as error:
    print(errno.errorcode[error.errno])
open("/tmp/file", "w")
"""


class Containers:
    """A run with containers and no fabric."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.control = Control(self.loop)
        self.runtime = DockerRuntime(self.loop, self.control, lambda _: None)
        self.nodes: dict[str, Node] = {}
        self.agents: dict[str, Conversation] = {}
        self.ended: list[str] = []

    def start(self, *names: str, image: str | None = None) -> None:
        self.nodes = dict(self.runtime.start([NodePlan(name, "leaf", image) for name in names]))
        for name, node in self.nodes.items():
            on_end = partial(self.ended.append, name)
            self.agents[name] = Conversation(self.loop, node.agent, name, on_end=on_end)

    def python(self, node: str, program: str) -> str:
        completed = self.agents[node].call("run", argv=["python3", "-c", program], timeout_s=20)
        assert completed["status"] == 0, completed["stderr"]
        said: str = completed["stdout"]
        return said.strip()

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()
        self.runtime.stop()
        self.control.close()
        self.loop.close()


def wait_until(claim: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what the engine does by itself; it has no event that could be waited for without a thread."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def type_into(shell: list[str], text: str) -> str:
    """Run a shell's command with a pipe in place of the terminal."""
    return subprocess.run(shell, input=text, capture_output=True, text=True, check=True, timeout=20).stdout


def test_a_shell_opens_in_the_node(run: Containers) -> None:
    run.start("a")
    assert type_into(run.runtime.shell("a"), "cat /etc/hostname\n") == "a\n"


@pytest.fixture
def client() -> Iterator[DockerClient]:
    with engine() as client:
        yield client


@pytest.fixture
def run() -> Iterator[Containers]:
    run = Containers()
    yield run
    run.close()


@pytest.fixture
def make_image(client: DockerClient) -> Iterator[Callable[[str], str]]:
    """Return a function that makes an image of a Dockerfile, which goes with the test."""
    made: list[str] = []

    def make(dockerfile: str) -> str:
        tag = f"joinlab-test:{len(made)}"
        made.append(tag)
        for step in client.api.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True, decode=True):
            assert "error" not in step, step
        return tag

    yield make
    for tag in made:
        client.images.remove(tag, force=True)


def test_a_node_has_no_privileges_and_no_network(run: Containers) -> None:
    run.start("alone")
    assert json.loads(run.python("alone", IDENTITY)) == {
        "user": [os.getuid(), os.getgid()],
        "host": "alone",
        "interfaces": ["lo"],
        "privileges": [0, 0, 0],
    }


def test_a_node_can_write_nothing_but_its_temporary_files(run: Containers) -> None:
    run.start("alone")
    assert run.python("alone", WRITE) in ("EROFS", "EACCES")


def test_a_nodes_process_is_numbered_as_the_keeper_sees_it(run: Containers) -> None:
    run.start("a", "b")
    for name, node in run.nodes.items():
        assert Path(f"/proc/{node.pid}/cmdline").read_bytes().split(b"\0")[-4:-2] == [name.encode(), b"--token"]


def test_containers_say_whose_they_are(run: Containers, client: DockerClient) -> None:
    run.start("a")
    (container,) = of_run(client, run.control.id)
    labels = client.containers.get(container).labels
    assert labels[LABEL_NODE] == "a"
    assert labels[LABEL_OWNER] == str(os.getuid())
    assert labels[LABEL_PROCESS] == str(this_process())


def test_stopping_leaves_nothing(client: DockerClient) -> None:
    run = Containers()
    run.start("a", "b", "c")
    run.close()
    assert of_run(client, run.control.id) == []
    assert not run.control.directory.exists()


def test_a_node_ends_with_its_channel(run: Containers, client: DockerClient) -> None:
    run.start("a", "b")
    run.agents.pop("a").close()
    wait_until(lambda: len(of_run(client, run.control.id)) == 1)
    assert run.python("b", "print('still here')") == "still here"


def test_a_node_that_dies_is_noticed(run: Containers, client: DockerClient) -> None:
    run.start("a", "b")
    client.containers.get(f"joinlab-{run.control.id}-a").kill()
    assert run.loop.wait_for(lambda: run.ended or None, 5) == ["a"]


def test_a_users_image_needs_python_only(run: Containers, client: DockerClient) -> None:
    ensure_image(client, lambda _: None)
    base = next(tag for tag in (OFFICIAL_BASE, base_tag()) if client.images.list(tag))
    run.start("a", image=base)
    assert run.python("a", "import multipoint; print('here')") == "here"


def test_an_image_without_python_is_named(run: Containers, make_image: Callable[[str], str]) -> None:
    image = make_image("FROM scratch\nLABEL made.for=test")
    with pytest.raises(LabBroken, match=r"node a can't be started.*python3"):
        run.start("a", image=image)


def test_a_node_that_ends_at_once_leaves_its_last_words(
    run: Containers, client: DockerClient, make_image: Callable[[str], str]
) -> None:
    script = "#!/bin/sh\\necho this Python is too old >&2\\nexit 1\\n"
    image = make_image(
        f"FROM {ensure_image(client, lambda _: None)}\nRUN printf '{script}' > /usr/bin/false-python"
        " && chmod 755 /usr/bin/false-python && mv /usr/bin/false-python $(command -v python3)"
    )
    with pytest.raises(LabBroken, match="node a ended before all had spoken: this Python is too old"):
        run.start("a", image=image)


def test_an_image_that_nobody_has_is_named(run: Containers) -> None:
    with pytest.raises(UnfitMachine, match="image joinlab-test/nowhere:1 is not on this machine"):
        run.start("a", image="joinlab-test/nowhere:1")


def test_the_keeper_runs_in_a_container_and_ends_with_its_channel(run: Containers, client: DockerClient) -> None:
    launcher = helper_launcher(lambda: run.control, lambda _: None)
    keeper = start_keeper(run.loop, others=[launcher], only=HELPER, for_containers=True)
    assert keeper.launcher == HELPER
    assert len(of_run(client, run.control.id)) == 1
    keeper.close()
    keeper.close()
    assert of_run(client, run.control.id) == []


def test_a_keeper_that_ends_in_its_container_is_noticed_at_once(
    run: Containers, client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = helper._configuration
    monkeypatch.setattr(helper, "_configuration", lambda *given: configuration(*given) | {"entrypoint": ["false"]})
    launcher = helper_launcher(lambda: run.control, lambda _: None)
    # Not: no word from it in 30 s.
    with pytest.raises(LabBroken, match="the keeper's container has ended"):
        start_keeper(run.loop, others=[launcher], only=HELPER)
    assert of_run(client, run.control.id) == []


def test_netns_nodes_are_forked_in_the_helper_container_too(run: Containers) -> None:
    launcher = helper_launcher(lambda: run.control, lambda _: None)
    keeper = start_keeper(run.loop, others=[launcher], only=HELPER)
    runtime = NetnsRuntime(keeper)
    agents = {n: Conversation(run.loop, node.agent, n) for n, node in runtime.start([NodePlan("a", "leaf")]).items()}
    completed = agents["a"].call("run", argv=["python3", "-c", "import socket; print(socket.gethostname())"])
    assert completed["stdout"] == "a\n"
    assert type_into(runtime.shell("a"), "ls /sys/class/net; exit\n").split() == ["lo"]
    agents["a"].close()
    keeper.close()


@pytest.fixture
def dying_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Have an engine that hangs up on every question, as one does that is being shut down."""

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)

    with socketserver.UnixStreamServer(str(tmp_path / "engine.sock"), HangUp) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("dying_engine")
def test_an_engine_that_hangs_up_is_named(run: Containers) -> None:
    with pytest.raises(UnfitMachine, match=r"engine.sock does not answer as it should"):
        run.start("a")


@pytest.mark.usefixtures("client")
def test_what_the_engine_refuses_is_told_in_its_words(run: Containers) -> None:
    with pytest.raises(LabBroken, match=r"the Docker engine refuses: .*reference"):
        run.start("a", image="No Such Name")
