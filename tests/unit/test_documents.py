"""What the documents quote is what the repository has."""

import re
from pathlib import Path

import pytest

from joinlab.planning import PRESETS
from joinlab.topology_model import Preset

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
TOPOLOGY = (CHECKOUT / "docs" / "topology.md").read_text()

DOCS = [str(file.relative_to(CHECKOUT)) for file in sorted((CHECKOUT / "docs").glob("*.md"))]


def test_readme_shows_the_example_whole() -> None:
    assert (CHECKOUT / "examples" / "test_receiver.py").read_text().strip() in README


def test_readme_begins_with_the_two_commands() -> None:
    commands = README.split("```")[1].splitlines()[1:]
    assert [command.partition("  ")[0] for command in commands] == ["make topology=star test", "make doctor"]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *DOCS])
def test_links_lead_somewhere(document: str) -> None:
    file = CHECKOUT / document
    for target in re.findall(r"\]\(([^):#]+)\)", file.read_text()):
        assert (file.parent / target).exists(), target


def test_topology_document_shows_star_whole() -> None:
    assert (CHECKOUT / "topologies" / "star.yaml").read_text().strip() in TOPOLOGY


@pytest.mark.parametrize("field", PRESETS[Preset.TEST])
def test_topology_document_has_the_presets(field: str) -> None:
    values = [PRESETS[preset][field] for preset in (Preset.TEST, Preset.FIELD)]
    test, real = (f"{value / 100:g} s" if field.endswith("_cs") else str(value) for value in values)
    key = field.removesuffix("_cs")
    assert re.search(rf"^\| `{key}` \|.*\| {test} \| {real} \|$", TOPOLOGY, re.MULTILINE)
