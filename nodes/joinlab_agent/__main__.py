"""Start the agent as a container's program: ``python3 -m joinlab_agent --dial SOCKET --name NODE --token TOKEN``.

It dials the harness (the socket is mounted into the container; nothing goes over the network under test) and says who
it is; from then on it is the agent like any other.
"""

import argparse
import socket

from joinlab_agent.agent import main as serve
from joinlab_agent.channel import Channel


def main() -> None:
    """Dial, say hello, serve."""
    parser = argparse.ArgumentParser(prog="joinlab_agent", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dial", required=True, metavar="SOCKET", help="UNIX socket of the harness")
    parser.add_argument("--name", required=True, help="the node's name")
    parser.add_argument("--token", required=True, help="proof that the harness has started us")
    arguments = parser.parse_args()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(arguments.dial)
    channel = Channel(sock)
    channel.send({"hello": arguments.name, "token": arguments.token})
    serve(channel)


main()
