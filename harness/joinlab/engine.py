"""The Docker engine: where it is, and what is wrong when it does not answer.

May not know: images, containers, labs.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from joinlab.errors import LabBroken, UnfitMachine

if TYPE_CHECKING:
    from docker import DockerClient

UNIX = "unix://"
PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid
DEFAULT_HOST = f"{UNIX}/var/run/docker.sock"

# An engine under load takes seconds for a create; one that takes longer hangs.
ENGINE_TIMEOUT_S = 60


def engine_problem() -> str | None:
    """Say in a line why no engine can be used, with the cure; None: one can. Takes about a millisecond."""
    host = engine_host()
    if not host.startswith(UNIX):
        return f"the Docker engine at {host} is on another machine: unset DOCKER_HOST to use this machine's"
    path = host.removeprefix(UNIX)
    try:
        _dial(path).close()
    except PermissionError:
        return f"the Docker engine at {path} refuses this user: usermod -aG docker USER, then log in again"
    except FileNotFoundError:
        return f"no Docker engine at {path}: apt-get install docker.io, then start it (systemctl start docker)"
    except OSError as error:
        return f"the Docker engine at {path} does not answer ({error.strerror}): systemctl restart docker"
    return None


def engine_is_in_sight() -> bool:
    """Tell whether the engine's processes are numbered as ours are: not so when we are in a container ourselves."""
    with _dial(engine_host().removeprefix(UNIX)) as sock:
        # The kernel tells who listens there, by our numbers; 0: somebody whom we can't see.
        pid, _, _ = PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return bool(pid)


def engine_host() -> str:
    """Return where the engine is: DOCKER_HOST, else the current context of the docker command, else the default."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    if not os.path.exists(os.path.expanduser("~/.docker/config.json")):  # noqa: PTH110, PTH111 (Path.home may raise)
        return DEFAULT_HOST
    from docker.context import ContextAPI  # 0.2 s to import, so only where there can be a context

    context = ContextAPI.get_current_context()
    return str(context.Host) if context and context.Host else DEFAULT_HOST


@contextlib.contextmanager
def engine() -> Iterator["DockerClient"]:
    """Give a client of the engine for a while. Raises UnfitMachine."""
    client = connect()
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Translate what the SDK raises, where nothing better is known about it, to LabBroken."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as error:
        raise LabBroken(f"the Docker engine refuses: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise LabBroken(f"the Docker engine at {engine_host()} went away: {error}") from error


def connect() -> "DockerClient":
    """Return a client of the engine; the caller closes it. Raises UnfitMachine."""
    if problem := engine_problem():
        raise UnfitMachine([problem])
    import docker
    from docker.errors import DockerException

    try:
        return docker.DockerClient(base_url=engine_host(), version="auto", timeout=ENGINE_TIMEOUT_S)
    except DockerException as error:
        raise UnfitMachine([f"the Docker engine at {engine_host()} does not answer as it should: {error}"]) from error


def _dial(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(ENGINE_TIMEOUT_S)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
