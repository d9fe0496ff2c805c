"""How long a lab takes to come and go, and a call on an app to return."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from figures import Figures, seconds

from joinlab.errors import UnfitMachine
from joinlab.lab import Lab
from joinlab.plan import LabPlan
from joinlab.planning import plan
from joinlab.runtimes import choose
from joinlab.topology import load

LABS = 7
CALLS = 2000
# Of the issue that asked for them: seconds for five nodes, and for a call there and back.
UP_S = {"netns": 0.3, "docker": 2.0}
DOWN_S = {"netns": 0.1, "docker": 0.5}
CALL_MS = 0.3


@pytest.fixture(scope="module")
def star() -> LabPlan:
    """The star of five nodes."""
    return plan(load("star"))


@pytest.fixture(params=["netns", "docker"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime that this machine has."""
    name: str = request.param
    try:
        choose(name)
    except UnfitMachine as error:
        pytest.skip(str(error))
    return name


def test_lab_comes_and_goes(star: LabPlan, runtime: str, figures: Figures) -> None:
    floor = {"netns": _start_interpreter, "docker": _run_container}[runtime]
    floor_is = {"netns": "a Python that imports pyroute2", "docker": "one container made, run and removed"}[runtime]
    Lab(star, runtime).__enter__().close()  # builds the image where there is none
    ups, downs, floors = [], [], []
    for _ in range(LABS):
        lab = Lab(star, runtime)
        ups.append(seconds(lab.start))
        downs.append(seconds(lab.close))
        floors.append(seconds(floor))
    figures.add(f"{runtime}: star of 5 up and ready", "s", ups, floor=floors, floor_is=floor_is, aim=UP_S[runtime])
    figures.add(f"{runtime}: star of 5 down", "s", downs, floor=floors, floor_is=floor_is, aim=DOWN_S[runtime])


def test_call_there_and_back(star: LabPlan, runtime: str, figures: Figures) -> None:
    with Lab(star, runtime) as lab:
        app = lab.root.app()
        calls = [1e3 * seconds(lambda: app.call("WSAGetLastError")) for _ in range(CALLS)]
    figures.add(
        f"{runtime}: a call on an app",
        "ms",
        calls,
        floor=[1e3 * lap for lap in _ping_pong()],
        floor_is="a byte to a forked process and back",
        aim=CALL_MS,
    )


def _start_interpreter() -> None:
    subprocess.run([sys.executable, "-c", "import pyroute2"], check=True)


def _run_container() -> None:
    import docker

    from joinlab.image import ensure_image

    client = docker.from_env()
    client.containers.run(ensure_image(client), ["python3", "-c", ""], network_mode="none", remove=True)
    client.close()


def _ping_pong() -> Iterator[float]:
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        while byte := theirs.recv(1):
            theirs.send(byte)
        os._exit(0)
    theirs.close()
    for _ in range(CALLS):
        yield seconds(lambda: (ours.send(b"."), ours.recv(1)))
    ours.close()
    os.waitpid(child, 0)
