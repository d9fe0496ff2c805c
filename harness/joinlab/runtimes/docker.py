"""The docker runtime: a node is a container without a network, into which the keeper puts the lab's interfaces.

The agent in a container dials the run's control socket; when that channel closes, the container ends and removes
itself. A node may run a user's image: it needs a ``python3`` of 3.11 or later and nothing else, because agent and
stack are mounted into it, and the image's own entry point is not started.

May not know: bridges, links, the Trace, what is asked of an agent.
"""

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from docker import DockerClient
from docker.errors import ImageNotFound
from requests.exceptions import RequestException

from joinlab.base import Progress
from joinlab.containers import AT_ONCE, Started, create_and_start, enter_command, remove_all, with_role
from joinlab.control import Control
from joinlab.engine import connect, engine_errors, engine_is_in_sight, engine_problem
from joinlab.errors import LabBroken, UnfitMachine
from joinlab.image import ensure_image, pull
from joinlab.loop import Loop
from joinlab.marks import ROLE_NODE
from joinlab.plan import NodePlan
from joinlab.runtimes.base import Node
from joinlab.runtimes.container import node_container
from joinlab.runtimes.deathwatch import Deathwatch

__all__ = ["DockerRuntime", "engine_problem"]

# A program that can't start ends at once; this only bounds the wait for its last words.
LAST_WORDS_S = 5
LAST_WORDS_LINES = 3

SHELL = 'export PS1="$0# "; if command -v bash >/dev/null; then exec bash --norc; else exec sh; fi'


class DockerRuntime:
    """Nodes as containers of the run that ``control`` stands for."""

    name = "docker"

    def __init__(self, loop: Loop, control: Control, progress: Progress = print) -> None:
        self._loop = loop
        self._control = control
        self._progress = progress
        self._client: DockerClient | None = None
        self._pool = ThreadPoolExecutor(AT_ONCE, "joinlab-docker")
        self._containers: dict[str, str] = {}

    @engine_errors()
    def start(self, nodes: Sequence[NodePlan]) -> Mapping[str, Node]:
        """Start all nodes side by side and wait until their agents have spoken. Raises UnfitMachine, LabBroken."""
        self._client = client = connect()
        images = {image: self._image(client, image) for image in {node.image for node in nodes}}
        self._control.engage(ROLE_NODE)
        with Deathwatch(self._loop, sees_processes=engine_is_in_sight()) as watch:
            starting: dict[str, Future[Started]] = {}
            for node in nodes:
                configuration = node_container(client, self._control, node, images[node.image])
                starting[node.name] = self._pool.submit(create_and_start, client, configuration)
                watch.add(node.name, starting[node.name])
            try:
                channels = self._control.wait_for(starting, lambda: _problem(watch))
            except LabBroken as error:
                raise self._explained(error, watch, {node.name: (node, images[node.image]) for node in nodes}) from None
            finally:
                self._pool.shutdown(cancel_futures=True)
        started = {name: future.result() for name, future in starting.items()}
        self._containers = {name: container for name, (container, _) in started.items()}
        return {name: Node(name, pid, channels[name]) for name, (_, pid) in started.items()}

    def shell(self, node: str) -> list[str]:
        """Return the command that opens a shell in a node."""
        return [*enter_command(self._containers[node]), "sh", "-c", SHELL, node]

    @engine_errors()
    def stop(self) -> None:
        """Kill and remove all nodes, those too that are only being created. The engine's labels are the truth."""
        self._pool.shutdown(cancel_futures=True)
        if self._client is not None:
            remove_all(self._client, with_role(self._client, self._control.id, ROLE_NODE))
            self._control.release(ROLE_NODE)
            self._client.close()
            self._client = None

    def _image(self, client: DockerClient, image: str | None) -> str:
        return ensure_image(client, self._progress) if image is None else _users_image(client, image, self._progress)

    def _explained(self, error: LabBroken, watch: Deathwatch, plans: Mapping[str, tuple[NodePlan, str]]) -> LabBroken:
        """Add a dead node's last words. It took them along, so it is started once more and kept after its end."""
        if not watch.ended:
            return error
        assert self._client is not None
        node, image = plans[min(watch.ended)]
        configuration = node_container(self._client, self._control, node, image, auto_remove=False)
        words = _last_words(self._client, configuration | {"name": f"{configuration['name']}-again"})
        return LabBroken(f"{error}: {words or 'it said nothing'}")


def _problem(watch: Deathwatch) -> str | None:
    """Say which node will never speak."""
    for name, error in watch.failed.items():
        return f"node {name} can't be started: {error}"
    return f"node {min(watch.ended)} ended before all had spoken" if watch.ended else None


def _last_words(client: DockerClient, configuration: dict[str, Any]) -> str:
    container, _ = create_and_start(client, configuration)
    with contextlib.suppress(RequestException):
        client.api.wait(container, timeout=LAST_WORDS_S)
    said: bytes = client.api.logs(container, tail=LAST_WORDS_LINES)
    return said.decode(errors="replace").strip()


def _users_image(client: DockerClient, image: str, progress: Progress) -> str:
    try:
        client.images.get(image)
    except ImageNotFound:
        progress(f"Pulling {image} ...")
        if refusal := pull(client, image):
            raise UnfitMachine([f"the image {image} is not on this machine and can't be pulled: {refusal}"]) from None
    return image
