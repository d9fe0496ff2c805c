"""The keeper in a privileged helper container: for somebody who may use Docker but is not root.

Being allowed to use the Docker engine is being root on its machine, so this takes no privilege that the user lacks.
The container sees the machine's processes, since nodes are named by their process; it has no network but the one
that the keeper makes, and dials the run's control socket like a node.

May not know: what the keeper does.
"""

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from joinlab.base import Progress
from joinlab.containers import Started, create_and_start, enter_command
from joinlab.control import SOCKET_IN_CONTAINER, Control
from joinlab.engine import connect, engine_errors, engine_is_in_sight, engine_problem
from joinlab.errors import UnfitMachine
from joinlab.launchers import Launcher, Order, RunningKeeper
from joinlab.marks import LABEL_ROLE, PROCESS_VARIABLE, ROLE_KEEPER, this_process
from joinlab.runtimes.deathwatch import Deathwatch
from joinlab_agent.channel import Channel

if TYPE_CHECKING:
    from docker import DockerClient

NAME = "helper container"
KEEPER_NAME = "keeper"  # as it introduces itself

# Not privileged=True: that asks for every capability there is, which an engine that runs in a container or in another
# confinement can't give. Links and routes; packet sockets; entering and making namespaces; those of other users.
CAPABILITIES = ("NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE")
PRIVILEGES: Mapping[str, Any] = {
    "cap_add": list(CAPABILITIES),
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
    "pid_mode": "host",
}
# /proc/sys is writable then, and a node of the netns runtime may mount a /proc of its own.
NOTHING_MASKED: Mapping[str, Any] = {"MaskedPaths": [], "ReadonlyPaths": []}


def helper_launcher(open_control: Callable[[], Control], progress: Progress = print) -> Launcher:
    """Return the launcher, for ``start_keeper(others=[...])``; ``open_control`` is called if it comes to that."""

    def start(order: Order) -> RunningKeeper:
        return _start(open_control(), order, progress)

    return Launcher(NAME, engine_problem, start, enters_containers=True)


@engine_errors()
def _start(control: Control, order: Order, progress: Progress) -> RunningKeeper:
    # Late: the SDK and what makes images are wanted by this launcher only, the last that is tried.
    from docker.errors import APIError

    from joinlab.image import ensure_image

    client = connect()
    image = ensure_image(client, progress)
    control.engage(ROLE_KEEPER)
    end = _ending(client, control)
    try:
        channel = _first_word(order, control, create_and_start(client, _configuration(client, control, image)))
    except APIError as error:
        end()
        raise UnfitMachine([f"the Docker engine can't start it: {error.explanation}"]) from error
    except BaseException:
        end()
        raise
    enter = enter_command(_name(control))
    return RunningKeeper(order.converse(channel), NAME, "you may use the Docker engine", on_close=end, enter=enter)


def _first_word(order: Order, control: Control, started: Started) -> Channel:
    """Wait until the keeper has dialled in, or its container has ended. Raises LabBroken."""
    starting: Future[Started] = Future()
    starting.set_result(started)
    with Deathwatch(order.loop, sees_processes=engine_is_in_sight()) as watch:
        watch.add(KEEPER_NAME, starting)
        found = control.wait_for([KEEPER_NAME], lambda: "the keeper's container has ended" if watch.ended else None)
    return found[KEEPER_NAME]


def _name(control: Control) -> str:
    return f"joinlab-{control.id}-{KEEPER_NAME}"


def _configuration(client: "DockerClient", control: Control, image: str) -> dict[str, Any]:
    from docker.types import Mount

    command = ["python3", "-m", "joinlab.keeper", "--dial", SOCKET_IN_CONTAINER, "--name", KEEPER_NAME]
    return {
        "name": _name(control),
        "image": image,
        "entrypoint": [*command, "--token", control.token],
        "command": [],
        "user": "0:0",
        "environment": {PROCESS_VARIABLE: str(this_process())},
        "labels": control.labels | {LABEL_ROLE: ROLE_KEEPER},
        "host_config": client.api.create_host_config(
            **PRIVILEGES,
            network_mode="none",
            auto_remove=True,
            mounts=[Mount(SOCKET_IN_CONTAINER, str(control.socket_path), type="bind")],
        )
        | dict(NOTHING_MASKED),
    }


def _ending(client: "DockerClient", control: Control) -> Callable[[], None]:
    """Return what ends the container and is harmless when called again."""
    from joinlab.containers import remove_all, with_role

    once = contextlib.ExitStack()
    once.callback(client.close)
    once.callback(control.release, ROLE_KEEPER)
    once.callback(lambda: remove_all(client, with_role(client, control.id, ROLE_KEEPER)))
    return once.close
