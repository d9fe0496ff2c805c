"""Nodes as processes in namespaces of their own, forked by the keeper: no engine, no image, no set-up.

May not know: how the keeper got its privileges.
"""

import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from joinlab import pids
from joinlab.descriptors import make_room
from joinlab.errors import UsageError
from joinlab.launchers import RunningKeeper
from joinlab.loop import PATIENCE_S, Pending, take_all
from joinlab.plan import NodePlan
from joinlab.runtimes.base import Node
from joinlab_agent.channel import Channel

# Asked for side by side; a socket holds some 270 small messages each way, and neither end may fill it unread.
AT_ONCE = 100
# The agent's channel, and those of its apps.
DESCRIPTORS_PER_NODE = 4
# Adds the directory that one is in to a command.
HERE = ("/bin/sh", "-c", 'exec "$@" "$PWD"', "here")
# In that directory; the nodes of a helper container have another's files, and may not have it. Without job control: in
# a PID namespace of its own a shell can't give the terminal back, and would complain.
SHELL = ("/bin/sh", "-c", 'cd -- "$1" 2> /dev/null; exec /bin/sh +m', "shell")


class NetnsRuntime:
    """The nodes of one keeper; they end with their channels, with the keeper, or with ``stop``."""

    name = "netns"

    def __init__(self, keeper: RunningKeeper) -> None:
        self._keeper = keeper
        self._nodes: dict[str, Node] = {}

    def start(self, nodes: Sequence[NodePlan]) -> Mapping[str, Node]:
        """Fork all nodes; returns when each is up. Raises UsageError, LabBroken."""
        _refuse_images(nodes)
        make_room(DESCRIPTORS_PER_NODE * len(nodes))
        for start in range(0, len(nodes), AT_ONCE):
            self._start(nodes[start : start + AT_ONCE])
        return dict(self._nodes)

    def shell(self, node: str) -> list[str]:
        """Return the command that opens a shell in a node, in the caller's directory, with the keeper's privileges."""
        kinds = ["--net", "--mount", "--uts", "--ipc", "--pid"]
        if self._keeper.launcher == "user namespace":
            kinds += ["--user", "--preserve-credentials"]
        # Ctrl-C is for what runs in the shell, and must not end nsenter, which waits for it.
        target = ["env", "--ignore-signal=INT", "nsenter", "--target", str(self._pid(self._nodes[node])), *kinds]
        shell = ["env", "--default-signal=INT", f"PS1={node}# ", *SHELL]
        return [*HERE, *self._keeper.enter, *target, "--", *shell]

    def stop(self) -> None:
        """Close the agents' channels, which ends the nodes. Idempotent."""
        while self._nodes:
            _, node = self._nodes.popitem()
            node.agent.close()

    def _start(self, nodes: Sequence[NodePlan]) -> None:
        conversation = self._keeper.conversation
        pending = {node.name: conversation.start("fork_node", name=node.name) for node in nodes}
        take_all([partial(self._take, name, reply) for name, reply in pending.items()])

    def _take(self, name: str, reply: Pending[Any]) -> None:
        value, (descriptor,) = reply.result(PATIENCE_S)
        self._nodes[name] = Node(name, value["pid"], Channel(socket.socket(fileno=descriptor)))

    def _pid(self, node: Node) -> int:
        """Return the node's first process as the caller sees it."""
        process = self._keeper.process
        outer = pids.outside(node.pid, process.pid) if process else None
        return node.pid if outer is None else outer


def _refuse_images(nodes: Sequence[NodePlan]) -> None:
    for node in nodes:
        if node.image is not None:
            raise UsageError(f"node {node.name} asks for the image {node.image}: that needs --runtime=docker")
