"""The stack needs the standard library only, and its core knows no socket, thread, clock or chance."""

import ast
import sys
from pathlib import Path

import pytest

import multipoint.wire

PACKAGE = Path(multipoint.wire.__file__).parent
CORE = (
    *(
        "addresses",
        "admission",
        "bucket",
        "catalogue",
        "codec",
        "constants",
        "counters",
        "datagram",
        "dialects",
        "door",
        "errors",
    ),
    *("events", "filters", "flow", "flow_rules", "group_layouts", "handshake", "kinds", "layouts", "leaf", "link"),
    *("link_events", "link_states", "linux", "moves", "root", "wire"),
    *("negotiation", "packetfilter", "quality", "socketgroups"),
)
WORLD = {"asyncio", "os", "random", "secrets", "select", "selectors", "socket", "ssl", "threading", "time"}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, of our own package by their names in it, marked with a dot."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "multipoint":
            found |= {f".{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name.replace("multipoint.", ".", 1) for name in found}


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_stack_needs_the_standard_library_only(path: Path) -> None:
    foreign = {name.partition(".")[0] for name in imports(path) if not name.startswith(".")}
    assert foreign - {"multipoint"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", CORE)
def test_core_does_not_know_the_world(name: str) -> None:
    imported = imports(PACKAGE / f"{name}.py")
    assert not {module.partition(".")[0] for module in imported} & WORLD
    assert {module[1:] for module in imported if module.startswith(".")} <= set(CORE), "a core module imports the shell"
