"""The keeper: the one process of a lab that has privileges. It holds the fabric, the links and the netns nodes.

Everything it holds lives in namespaces without a name, so the kernel removes all of it when the keeper ends, however
it ends; and it ends when its channel does. Started by ``launchers.py`` as ``python -m joinlab.keeper FD``, or in a
helper container, where it dials the run's control socket. What it does is in ``verbs.py``.

May not know: pydantic, Docker, scapy, pytest: it must start fast, and with nothing but pyroute2 installed.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from typing import NoReturn

from joinlab import lean_pyroute2, namespaces, nursery
from joinlab.namespaces import Namespace
from joinlab_agent.channel import Channel, ChannelClosed


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the keeper for the channel that the arguments name."""
    parser = ArgumentParser(prog="python -m joinlab.keeper", description=__doc__.partition("\n")[0])
    parser.add_argument("descriptor", type=int, nargs="?", help="an inherited UNIX socket")
    parser.add_argument("--dial", metavar="SOCKET", help="or the control socket of the run")
    parser.add_argument("--name", default="keeper", help="how to introduce itself there")
    parser.add_argument("--token", default="", help="the run's token")
    parser.add_argument("--user-namespace", action="store_true", help="become root of a user namespace first")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is pytest's; the channel's end is ours
    channel = (
        _dial(given.dial, given.name, given.token) if given.dial else Channel(socket.socket(fileno=given.descriptor))
    )
    try:
        _leave_the_host(channel, user_namespace=given.user_namespace)
    except OSError as error:
        _refuse(channel, error)
        os._exit(1)
    # Before the imports: it imports what the nodes need, while we import what we need.
    children = nursery.start(channel)
    lean_pyroute2.prepare()
    # Imports leave hardly any garbage, and make the collector look for it again and again.
    gc.disable()
    from joinlab.verbs import Keeper

    gc.enable()
    with contextlib.suppress(ChannelClosed):
        Keeper(channel, children).serve()
    os._exit(0)


def _leave_the_host(channel: Channel, *, user_namespace: bool) -> None:
    """Enter a network namespace of our own; with ``user_namespace`` as an ordinary user, who becomes root in there."""
    if not user_namespace:
        namespaces.unshare(Namespace.NET)
        return
    namespaces.become_root_of_new_user_namespace(Namespace.NET | Namespace.PID | Namespace.MOUNT)
    # The PID namespace is that of our children: its pid 1 becomes the keeper, and takes all along when it ends.
    if pid := os.fork():
        channel.close()
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    namespaces.die_with_parent()
    namespaces.keep_mounts_private()
    namespaces.mount_proc()


def _refuse(channel: Channel, error: OSError) -> None:
    """Answer the first request, which is the launcher's hello, with the reason."""
    with contextlib.suppress(ChannelClosed):
        number = channel.receive().body["id"]
        channel.send(
            {"re": number, "error": {"type": "unfit", "text": str(error), "missing": [error.strerror or str(error)]}}
        )


def _dial(path: str, name: str, token: str) -> Channel:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    channel = Channel(sock)
    channel.send({"hello": name, "token": token})
    return channel


if __name__ == "__main__":
    main(sys.argv[1:])
