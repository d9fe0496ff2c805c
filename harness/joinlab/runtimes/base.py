"""What a node is: the interface that the runtimes share.

May not know: any of its implementations.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from joinlab.plan import NodePlan
from joinlab_agent.channel import Channel


class Node(NamedTuple):
    """A node that runs. ``pid`` is its first process as the keeper sees it; ``agent`` is ours to close."""

    name: str
    pid: int
    agent: Channel


class Runtime(Protocol):
    """Starts a lab's nodes and stops them."""

    name: str

    def start(self, nodes: Sequence[NodePlan]) -> Mapping[str, Node]:
        """Start all nodes side by side; returns when each agent can be spoken to."""

    def shell(self, node: str) -> list[str]:
        """Return the command that opens a shell in a node."""

    def stop(self) -> None:
        """Stop all nodes. Idempotent."""
