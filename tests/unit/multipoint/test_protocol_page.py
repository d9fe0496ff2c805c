"""docs/protocol.md says what the code does."""

import re
from pathlib import Path

import pytest

from multipoint import datagram, wire
from multipoint.kinds import JoinRole, Plane, ProviderClass

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()


def test_kinds_and_limits_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| [^|]+ \| (\d+) \|", PAGE, re.MULTILINE)
    assert [(int(kind), name, int(most)) for kind, name, most in rows] == [
        (kind, cls.__name__, wire.body_limit(kind)) for kind, cls in wire.KINDS.items()
    ]


def test_every_message_has_its_fields_listed() -> None:
    listed = re.findall(r"^\| ([A-Z][\w, ]+) \| [a-z]", PAGE, re.MULTILINE)
    named = {name for row in listed for name in row.split(", ")}
    assert {cls.__name__ for cls in wire.KINDS.values()} - {"Cancel"} <= named


def test_example_is_a_join() -> None:
    (example,) = re.findall(r"^```\n([0-9a-f ]+)\n```", PAGE, re.MULTILINE)
    join = wire.Join(
        *(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH),
        *(wire.Endpoint("10.0.0.2", 5000), 1024, b"hello"),
    )
    assert wire.encode(join) == bytes.fromhex(example)


@pytest.mark.parametrize(
    "claim",
    [
        f"Version {wire.VERSION[0]}.{wire.VERSION[1]}",
        f"{wire.HELLO_SIZE} bytes",
        f"with {datagram.HEADER_SIZE} bytes before",
        f"the last {datagram.REPLAY_WINDOW:,}",
        f"the first {datagram.TAG_SIZE} bytes of SHA-256",
        f"the first {datagram.HEAD.size} bytes and the payload",
        f"0x{datagram.VERSION_BYTE:X}",
        f"data({wire.MAX_CHAT})",
        f"data({wire.MAX_CONNECT_DATA})",
        f"data({wire.MAX_OBJECTS})",
    ],
)
def test_numbers_are_those_of_the_code(claim: str) -> None:
    assert claim in " ".join(PAGE.split())
