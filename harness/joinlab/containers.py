"""Start a container; find those of a run by label and remove them, several at once.

May not know: what runs in them.
"""

import contextlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from joinlab.errors import LabBroken
from joinlab.marks import LABEL_ROLE, LABEL_RUN

if TYPE_CHECKING:
    from docker import DockerClient

# The engine works on so many at once to good effect; more only wait inside it.
AT_ONCE = 8

GONE_PATIENCE_S = 20.0
LOOK_EVERY_S = 0.01


class Started(NamedTuple):
    """A container that was started: its id, and its process as the engine's machine numbers it; 0: it ended at once."""

    id: str
    pid: int


def create_and_start(client: "DockerClient", configuration: dict[str, Any]) -> Started:
    """Create and start a container, and look up its process."""
    from docker.errors import NotFound

    container: str = client.api.create_container(**configuration)["Id"]
    client.api.start(container)
    try:
        return Started(container, int(client.api.inspect_container(container)["State"]["Pid"]))
    except NotFound:
        return Started(container, 0)


def of_run(client: "DockerClient", run: str) -> list[str]:
    """Return the ids of a run's containers, in whatever state."""
    return [found["Id"] for found in labelled(client, f"{LABEL_RUN}={run}")]


def with_role(client: "DockerClient", run: str, role: str) -> list[str]:
    """Return the ids of those containers of a run that have a role (``marks.py``)."""
    return [found["Id"] for found in labelled(client, f"{LABEL_RUN}={run}", f"{LABEL_ROLE}={role}")]


def labelled(client: "DockerClient", *labels: str) -> list[dict[str, Any]]:
    """Return the engine's words about all containers that carry all these labels (``name`` or ``name=value``)."""
    found: list[dict[str, Any]] = client.api.containers(all=True, filters={"label": list(labels)})
    return found


def remove_all(client: "DockerClient", containers: Iterable[str]) -> None:
    """Kill and remove containers, and wait until they are gone. It is no error when one is gone already."""
    ids = list(containers)
    if ids:
        with ThreadPoolExecutor(min(AT_ONCE, len(ids)), "joinlab-remove") as pool:
            list(pool.map(lambda container: _remove(client, container), ids))


def _remove(client: "DockerClient", container: str) -> None:
    from docker.errors import APIError, NotFound

    try:
        client.api.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        # It removes itself at this moment: the engine says so with a conflict.
        if error.status_code != 409:
            raise
    deadline = time.monotonic() + GONE_PATIENCE_S
    with contextlib.suppress(NotFound):
        while time.monotonic() < deadline:
            client.api.inspect_container(container)
            time.sleep(LOOK_EVERY_S)
        raise LabBroken(f"the Docker engine did not remove container {container[:12]} in {GONE_PATIENCE_S:g} s")


# docker refuses -t where the input is no terminal, and who runs the command is known only when it runs.
_ENTER = 'if [ -t 0 ]; then exec docker exec -it "$@"; else exec docker exec -i "$@"; fi'


def enter_command(container: str) -> tuple[str, ...]:
    """Return the command that runs what is added to it in a container, from a terminal or a pipe."""
    return ("sh", "-c", _ENTER, "enter", container)
