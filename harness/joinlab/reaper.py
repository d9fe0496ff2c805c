"""The reaper: waits until the harness is gone, then removes the run's containers and its directory.

``python -m joinlab.reaper RUN DIRECTORY``; its standard input is a pipe that the harness holds open. "done" on it
says that everything is removed already. It has a session of its own, so that what kills the harness's terminal or
process group leaves it alone. Docker's SDK is imported only when there is something to do.

May not know: what the lab was.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from joinlab.errors import JoinlabError
from joinlab.rundirectory import remove_run_directory

if TYPE_CHECKING:
    from docker import DockerClient

# What the harness writes when all is removed already.
DONE = b"done"

# A create that was under way in the engine when the harness died shows up late: keep looking for so long.
QUIET_S = 1.5
LOOK_EVERY_S = 0.1
# An engine that is restarting comes back; one that is gone for good takes its containers along.
GIVE_UP_S = 60.0


def main(run: str, directory: str) -> None:
    """Wait for the end of standard input, then remove what is left."""
    for deaf in (signal.SIGINT, signal.SIGHUP):
        signal.signal(deaf, signal.SIG_IGN)
    # Whatever terminal or pipe the harness writes to must see its end when the harness ends, not when we do.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    if _read_to_end(0) != DONE:
        reap(run)
        remove_run_directory(Path(directory))


def reap(run: str, quiet_s: float = QUIET_S, give_up_s: float = GIVE_UP_S) -> None:
    """Remove the run's containers until none has been seen for ``quiet_s``."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    from joinlab.engine import engine

    give_up = time.monotonic() + give_up_s
    while time.monotonic() < give_up:
        try:
            with engine() as client:
                _remove_until_quiet(client, run, quiet_s)
            return
        except (JoinlabError, DockerException, RequestException):
            time.sleep(LOOK_EVERY_S)


def _remove_until_quiet(client: "DockerClient", run: str, quiet_s: float) -> None:
    from joinlab.containers import of_run, remove_all

    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < quiet_s:
        if left := of_run(client, run):
            remove_all(client, left)
            quiet_since = time.monotonic()
        time.sleep(LOOK_EVERY_S)


def _read_to_end(descriptor: int) -> bytes:
    heard = b""
    while data := os.read(descriptor, 64):
        heard += data
    return heard


if __name__ == "__main__":
    main(*sys.argv[1:])
