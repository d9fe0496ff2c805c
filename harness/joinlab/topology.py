"""Topology files: finding one, reading it so that every mistake names file, line and key, and the schema for editors.

``load`` is what everybody calls. May not know: how a lab is planned or built.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from joinlab import topology_model as model
from joinlab import yamlfile
from joinlab.errors import UsageError
from joinlab.topology_checks import find_problems
from joinlab.topology_model import MOST_PORTS, Preset, Role, Topology, ports_of
from joinlab.yamlfile import Place, YamlFile

# In a wheel the files lie in the package; in a checkout beside it.
_HERE = Path(__file__).parent
_BUNDLED = next((d for d in (_HERE / "topologies", _HERE.parents[1] / "topologies") if d.is_dir()), _HERE)
_SUFFIX = ".yaml"


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line may change in a topology; None leaves it as the file has it."""

    leaves: int | None = None
    igmp: int | None = None
    preset: str | None = None


def load(name_or_path: str, overrides: Overrides = Overrides()) -> Topology:
    """Return the topology of this name or file, checked and with ``overrides`` applied; raises UsageError."""
    file = yamlfile.read(find(name_or_path))
    topology = _validate(file)
    _refuse(_at(file, problem.place, problem.text) for problem in find_problems(topology))
    changed = _override(topology, overrides)
    _refuse(f"{file.name} with {_spell(overrides)}: {problem.text}" for problem in find_problems(changed))
    return changed.read_from(file.name)


def available() -> dict[str, Path]:
    """Return the topologies that have a name: those in ./topologies and those that come with joinlab."""
    folders = (_BUNDLED, Path("topologies"))
    return {file.stem: file for folder in folders for file in sorted(folder.glob(f"*{_SUFFIX}"))}


def find(name_or_path: str) -> Path:
    """Return the file of a topology; a text with a slash or an ending is a path, anything else a name."""
    if "/" in name_or_path or name_or_path.endswith((_SUFFIX, ".yml")):
        return Path(name_or_path)
    known = available()
    if name_or_path not in known:
        names = ", ".join(known)
        raise UsageError(f"there is no topology {name_or_path!r}{_hint(name_or_path, known)}; there are: {names}")
    return known[name_or_path]


def schema() -> str:
    """Return the JSON Schema of a topology file, as text to be written to a file."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Topology.model_json_schema()
    return json.dumps(document, indent=2) + "\n"


def _validate(file: YamlFile) -> Topology:
    if not isinstance(file.data, dict):
        raise UsageError(f"{file.name}:1: expected keys such as name, bridges, nodes, links")
    try:
        return Topology.model_validate(file.data)
    except ValidationError as error:
        mistakes = [_in_words(details) for details in error.errors()]
        mistakes.sort(key=lambda mistake: file.line_of(mistake[0]))
        _refuse(_at(file, place, text) for place, text in mistakes)
        raise AssertionError("unreachable: an error has details") from error


def _at(file: YamlFile, place: Place, text: str) -> str:
    return f"{file.name}:{file.line_of(place)}: {_dotted(place)}: {text}"


def _refuse(mistakes: Iterable[str]) -> None:
    if lines := list(mistakes):
        raise UsageError("\n".join(lines))


def _dotted(place: Place) -> str:
    """Return a place as people write it: links[0].rate."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or "the topology"


def _in_words(details: ErrorDetails) -> tuple[Place, str]:
    """Return where pydantic found a mistake, and what was expected."""
    place: Place = tuple(step for step in details["loc"] if step != "[key]")
    context: Mapping[str, Any] = details.get("ctx", {})
    got = details["input"]
    match details["type"]:
        case "missing":
            return place[:-1], f"the key {place[-1]!r} is missing"
        case "extra_forbidden":
            known = _keys_at(place[:-1])
            return place, f"unknown key{_hint(str(place[-1]), known)}; expected one of {', '.join(known)}"
        case "value_error":
            return place, str(context["error"])
        case "bool_type":
            return place, f"expected true or false, got {_brief(got)}"
        case "string_type":
            return place, f"expected text, got {_brief(got)}"
        case "string_pattern_mismatch":
            return place, f"expected a name of at most 9 small letters, digits and '-', letter first, got {got!r}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return place, f"expected keys and values, got {_brief(got)}"
        case _:
            text = details["msg"].replace("Input should be", "expected").replace("should have", "expected to have")
            return place, f"{text}, got {_brief(got)}"


def _brief(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "keys and values"
        case _:
            return repr(value)


# Which keys may stand at a place; None is any name, any number.
_KEYS: dict[tuple[str | None, ...], type[model.Strict]] = {
    (): Topology,
    ("bridges", None): model.BridgeModel,
    ("bridges", None, "multicast"): model.MulticastModel,
    ("nodes", None): model.NodeModel,
    ("links", None): model.LinkModel,
    ("links", None, "up"): model.ShapeModel,
    ("links", None, "down"): model.ShapeModel,
}


def _keys_at(place: Place) -> list[str]:
    """Return the keys that may stand at ``place``: each second step is a name or number of the user's."""
    row = tuple(None if depth == 1 else str(step) for depth, step in enumerate(place))
    return [info.alias or key for key, info in _KEYS[row].model_fields.items()]


def _hint(wrong: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _override(topology: Topology, overrides: Overrides) -> Topology:
    if overrides.leaves is not None:
        topology = _with_leaves(topology, overrides.leaves)
    multicast: dict[str, Any] = {}
    if overrides.igmp is not None:
        if overrides.igmp not in (2, 3):
            raise UsageError(f"igmp={overrides.igmp}: expected 2 or 3")
        multicast["igmp"] = overrides.igmp
    if overrides.preset is not None:
        if overrides.preset not in list(Preset):
            raise UsageError(f"preset={overrides.preset}: expected one of {', '.join(Preset)}")
        multicast["preset"] = Preset(overrides.preset)
    bridges = {
        name: bridge.model_copy(update={"multicast": bridge.multicast.model_copy(update=multicast)})
        for name, bridge in topology.bridges.items()
    }
    return topology.model_copy(update={"bridges": bridges})


def _with_leaves(topology: Topology, leaves: int) -> Topology:
    groups = [group for group, node in topology.nodes.items() if node.role is Role.LEAF and node.count is not None]
    if len(groups) != 1:
        raise UsageError(f"leaves={leaves}: {topology.name} has {len(groups)} groups of leaves, so it can't be chosen")
    (group,) = groups
    most = min(MOST_PORTS - sum(ports.values()) + ports[group] for ports in _ports_with(topology, group))
    if not 1 <= leaves <= most:
        raise UsageError(f"leaves={leaves}: expected 1 to {most} leaves in {topology.name}")
    node = topology.nodes[group].model_copy(update={"count": leaves})
    return topology.model_copy(update={"nodes": topology.nodes | {group: node}})


def _ports_with(topology: Topology, group: str) -> list[Mapping[str, int]]:
    every = (ports_of(topology, bridge) for bridge in topology.bridges)
    return [ports for ports in every if group in ports]


def _spell(overrides: Overrides) -> str:
    given = {name: getattr(overrides, name) for name in overrides.__slots__}
    return " ".join(f"{name}={value}" for name, value in given.items() if value is not None)
