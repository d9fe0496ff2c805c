"""One thing that happened, as it stands on the Trace: a call, a network event, a packet, a change in a bridge or link.

All times are CLOCK_REALTIME in nanoseconds: every process of a run, and the kernel's stamps on frames, share that
clock of one host.

May not know: where records come from, who asks for them.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from joinlab_agent.channel import Message


class Kind(StrEnum):
    """What sort of thing happened."""

    CALL = "call"  # an app calls the stack
    RETURN = "return"  # ... and the call returns
    EVENT = "event"  # a network event of the stack: FD_CLOSE ...
    DATA = "data"  # an app received data
    PACKET = "packet"  # a frame passed a port of a bridge
    GROUP = "group"  # a bridge learned or forgot that a port wants a group
    LINK = "link"  # a link was shaped, cut or mended; the capture lost frames
    NODE = "node"  # a node or app started, ended, or said something


KINDS = {str(kind): kind for kind in Kind}


class Moment(Protocol):
    """Anything with a time: a mark, or a record (the time after it)."""

    @property
    def ns(self) -> int:
        """Return the time."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened."""

    ns: int
    kind: Kind
    node: str  # "" for the lab as a whole
    app: str  # "" for the node as a whole
    name: str  # in the field's words: "WSAJoinLeaf", "FD_CLOSE", "IGMPv3 report TO_EX 239.1.2.3", "joined"
    facts: Mapping[str, Any] = field(default_factory=dict)


def from_message(body: Message, node: str, app: str = "") -> Record:
    """Make a record of what an agent, an app or the keeper reported over its channel.

    ``{"record": "event", "ns": ..., "name": "FD_CLOSE", "facts": {...}}``; whatever else stands in it is a fact too. A
    word that is no kind ("ended", "log") is something that happened to the node.
    """
    rest = dict(body)
    word, ns = rest.pop("record"), rest.pop("ns")
    app = rest.pop("app", app)
    facts = rest.pop("facts", {}) | rest
    name = facts.pop("name", None) or facts.get("change", word)
    return Record(ns, KINDS.get(word, Kind.NODE), node, app, name, facts)


def to_line(record: Record) -> str:
    """Return the record as one line of JSON; bytes become ``{"base64": ...}``. The raw frame of a packet stays out."""
    return json.dumps(
        {
            "ns": record.ns,
            "kind": record.kind,
            "node": record.node,
            "app": record.app,
            "name": record.name,
            "facts": {key: value for key, value in record.facts.items() if key != "frame"},
        },
        default=_to_json,
        separators=(",", ":"),
    )


def from_line(line: str) -> Record:
    """Rebuild a record from ``to_line``."""
    data = json.loads(line, object_hook=_from_json)
    return Record(data["ns"], Kind(data["kind"]), data["node"], data["app"], data["name"], data["facts"])


def _to_json(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    return str(value)


def _from_json(value: dict[str, Any]) -> object:
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value
