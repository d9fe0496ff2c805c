"""What scenarios ask of the Trace, in the field's words: each function makes one Question.

Nodes are given by name. On the wire a node is known by the port of the bridge that its link ends at and by the
direction: a snooping bridge floods reports to all ports, so an address alone would prove nothing.

May not know: how a question is waited for (``expect.py``).
"""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

from joinlab.frames import FrameFacts, carries
from joinlab.membership import Membership
from joinlab.records import Kind, Record
from joinlab.trace import Question


def joins(node: str, group: str, version: int | None = None) -> Question:
    """IGMP or MLD by which a node's host announces that it wants a group."""
    return Question(
        f"IGMP/MLD{_version(version)} join of {group} by {node}", Kind.PACKET, node,
        where=_reports(lambda message: message.joins(group) and version in (None, message.version)),
    )  # fmt: skip


def leaves(node: str, group: str) -> Question:
    """IGMP or MLD by which a node's host gives a group up."""
    return Question(
        f"IGMP/MLD leave of {group} by {node}", Kind.PACKET, node, where=_reports(lambda message: message.leaves(group))
    )


def speaks_of(node: str, group: str | None) -> Question:
    """Any report or leave of a node's host about this group; without one, about any that reaches beyond the link.

    Groups of the link itself (224.0.0/24, ff02::/16) a host joins by itself, as it likes.
    """

    def is_meant(message: Membership) -> bool:
        if group is not None:
            return message.names(group)
        return message.verb != "query" and not all(record.is_of_link for record in message.records)

    about = f"about {group}" if group else "about any group beyond the link"
    return Question(f"IGMP/MLD of {node} {about}", Kind.PACKET, node, where=_reports(is_meant))


def _version(version: int | None) -> str:
    return f" v{version}" if version else ""


def _reports(is_meant: Callable[[Membership], bool]) -> Callable[[Record], bool]:
    def is_meant_by(record: Record) -> bool:
        facts = record.facts
        # The name tells at once what has no such message.
        if not record.name.startswith(("IGMP", "MLD")) or not isinstance(facts, FrameFacts):
            return False
        return facts.from_node and facts.membership is not None and is_meant(facts.membership)

    return is_meant_by


def datagram(
    node: str, *, from_node: bool, payload: bytes | None = None, group: str | None = None, source: str | None = None
) -> Question:
    """A UDP datagram on a node's link: with this payload, to this group (any address), from this source address."""
    what = [
        f"payload {_short(payload)}" if payload is not None else "",
        f"to {group}" if group else "",
        f"from {source}" if source else "",
    ]
    place = f"sent by {node}" if from_node else f"forwarded to {node}"
    text = " ".join(["datagram", *filter(None, what), place])
    is_it = partial(_is_datagram, from_node, payload, _packed(group), _packed(source))
    return Question(text, Kind.PACKET, node, where=is_it)


def _packed(address: str | None) -> bytes:
    return ip_address(address).packed if address else b""


def _is_datagram(from_node: bool, payload: bytes | None, group: bytes, source: bytes, record: Record) -> bool:
    facts = record.facts
    if not record.name.startswith("UDP") or not isinstance(facts, FrameFacts) or facts.from_node is not from_node:
        return False
    # A look for the bytes anywhere in the headers is cheap, and spares reading most frames of a busy link.
    head = facts.frame[:54]
    if (group and group not in head) or (source and source not in head):
        return False
    if payload is not None and not carries(facts.frame, payload):
        return False
    return _has_addresses(facts, group, source)


def _has_addresses(facts: FrameFacts, group: bytes, source: bytes) -> bool:
    wanted = {"destination": group, "source": source}
    return all(not packed or ip_address(facts[key]).packed == packed for key, packed in wanted.items())


def control_message(node: str, message: str, *, from_node: bool) -> Question:
    """A message of the control protocol, by the name of its class: "Join", "Accept", "Confirm"."""

    def is_it(record: Record) -> bool:
        facts = record.facts
        if not record.name.startswith("control") or not isinstance(facts, FrameFacts):
            return False
        return facts.from_node is from_node and any(type(found).__name__ == message for found in facts.messages)

    return Question(f"control {message} {'by' if from_node else 'to'} {node}", Kind.PACKET, node, where=is_it)


def port_change(node: str, group: str, change: str) -> Question:
    """A bridge's group table: the node's port has "joined" a group, or was "forgotten" from it.

    What the kernel notes about single sources of a group comes and goes beside that.
    """
    return Question(
        f"the bridge {'learns' if change == 'joined' else 'forgets'} {group} at the port of {node}", Kind.GROUP, node,
        where=lambda record: (
            record.name == change and record.facts.get("group") == group and record.facts.get("source") is None
        ),
    )  # fmt: skip


def network_event(node: str, app: str, socket: int | None, name: str, error: int | str | None) -> Question:
    """A network event of an app's socket; ``error`` 0 or a name such as "WSAECONNRESET", None: any."""

    def is_it(record: Record) -> bool:
        return record.name == name and _is_at(record, socket) and error in (None, record.facts.get("error"))

    with_error = "" if error is None else f" with error {error}"
    return Question(f"{name}{with_error} at {_where(node, app, socket)}", Kind.EVENT, node, app, is_it)


def received(node: str, app: str, socket: int | None, payload: bytes | None) -> Question:
    """Data that an app received."""

    def is_it(record: Record) -> bool:
        return _is_at(record, socket) and payload in (None, record.facts.get("data"))

    what = "any data" if payload is None else f"data {_short(payload)}"
    return Question(f"{what} received by {_where(node, app, socket)}", Kind.DATA, node, app, is_it)


def _is_at(record: Record, socket: int | None) -> bool:
    return socket is None or record.facts.get("socket") == socket


def _where(node: str, app: str, socket: int | None) -> str:
    return f"{node}/{app}" + ("" if socket is None else f" socket {socket}")


def _short(payload: bytes) -> str:
    return repr(payload) if len(payload) <= 24 else f"{payload[:24]!r}… ({len(payload)} bytes)"
