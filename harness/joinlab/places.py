"""Where something happens, as a test says it: a node, an app, a socket. By shape, so that ``expect`` needs no lab."""

from typing import NamedTuple, Protocol, runtime_checkable


class Named(Protocol):
    """A node, by its name."""

    @property
    def name(self) -> str:
        """Return the name."""


class OfNode(Protocol):
    """An app: it has a name and runs in a node."""

    @property
    def name(self) -> str:
        """Return the app's name."""

    @property
    def node(self) -> Named:
        """Return its node."""


@runtime_checkable
class OfApp(Protocol):
    """A socket of an app."""

    @property
    def app(self) -> OfNode:
        """Return its app."""

    @property
    def handle(self) -> int:
        """Return the handle."""


NodeLike = str | Named
AppLike = OfNode | OfApp


class Place(NamedTuple):
    """Where in an app something is expected."""

    node: str
    app: str
    socket: int | None


def name_of_node(node: NodeLike) -> str:
    """Return the name of a node, or the name itself."""
    return node if isinstance(node, str) else node.name


def place_of(at: AppLike) -> Place:
    """Return the place of an app, or of one of its sockets."""
    if isinstance(at, OfApp):
        return Place(at.app.node.name, at.app.name, at.handle)
    return Place(at.node.name, at.name, None)
