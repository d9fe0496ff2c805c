"""Topology files: what is refused, and that each refusal names file, line and key."""

from pathlib import Path

import pytest

from joinlab.errors import UsageError
from joinlab.topology import Overrides, available, find, load, schema
from joinlab.topology_model import NodeModel, Role, node_names

CHECKOUT = Path(__file__).parents[2]

GOOD = """\
name: small
bridges:
  hub: {ipv4: 10.0.0.0/29}
nodes:
  root: {role: root}
  leaf: {role: leaf, count: 2}
links:
  - from: [root, leaf]
    to: hub
    rate: 10 Mbit/s
"""


def refusal(folder: Path, text: str) -> list[str]:
    """Return what ``load`` says about a file with this text, a line each, without the folder."""
    file = folder / "lab.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load(str(file))
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(GOOD)
    topology = load(str(tmp_path / "lab.yaml"))
    assert topology.nodes["leaf"].count == 2
    assert topology.links[0].rate == 10_000_000
    assert topology.source.endswith("lab.yaml")


# (what stands in the good file, what stands there instead, the refusal)
MISTAKES = [
    ("name: small", "name: 3", "lab.yaml:1: name: expected text, got 3"),
    ("name: small\n", "", "lab.yaml:1: the topology: the key 'name' is missing"),
    ("name: small", "nme: small\nname: x", "lab.yaml:1: nme: unknown key; did you mean 'name'?"),
    ("10.0.0.0/29", "10.0.0.1/29", "lab.yaml:3: bridges.hub.ipv4: expected a network such as '10.77.0.0/16'"),
    ("10.0.0.0/29", "10.0.0.0/31", "lab.yaml:3: bridges.hub.ipv4: 3 nodes, but 10.0.0.0/31 has room for 0"),
    ("10.0.0.0/29", "ten", "lab.yaml:3: bridges.hub.ipv4: expected a network such as '10.77.0.0/16', got 'ten'"),
    (
        "10.0.0.0/29}",
        "10.0.0.0/29, ipv6: 1}",
        "lab.yaml:3: bridges.hub.ipv6: expected a network such as 'fd00:77::/64'",
    ),
    ("hub: {", "Hub!: {", "lab.yaml:3: bridges.Hub!: expected a name of at most 9 small letters"),
    ("hub:", "lo:", "lab.yaml:3: bridges.lo: 'lo' is a name that the kernel uses itself"),
    ("hub:", "leaf2:", "lab.yaml:6: nodes.leaf: the name 'leaf2' is a bridge's already"),
    ("{role: root}", "{role: rot}", "lab.yaml:5: nodes.root.role: expected 'root' or 'leaf', got 'rot'"),
    ("{role: root}", "{role: leaf}", "lab.yaml:4: nodes: expected one node with role root, got 0"),
    ("{role: root}", "{role: root, count: 2}", "lab.yaml:4: nodes: expected one node with role root, got 2"),
    ("role: root", "rle: root", "lab.yaml:5: nodes.root: the key 'role' is missing"),
    ("count: 2", "count: 0", "lab.yaml:6: nodes.leaf.count: expected greater than or equal to 1, got 0"),
    ("count: 2", "count: 1.5", "lab.yaml:6: nodes.leaf.count: expected a whole number, got 1.5"),
    ("count: 2", 'count: "2"', "lab.yaml:6: nodes.leaf.count: expected a whole number, got '2'"),
    ("count: 2", "count: 1023", "lab.yaml:3: bridges.hub: 1024 links, but a Linux bridge takes 1023"),
    ("to: hub", "to: hob", "lab.yaml:9: links[0].to: expected one of the bridges (hub), got 'hob'"),
    ("[root, leaf]", "[root, laef]", "lab.yaml:8: links[0].from: expected one of the nodes (root, leaf), got 'laef'"),
    ("[root, leaf]", "[leaf]", "lab.yaml:5: nodes.root: root has no link; add it to 'from' of one"),
    ("[root, leaf]", "[root, leaf, leaf]", "lab.yaml:8: links[0].from: leaf is linked to hub already"),
    ("10 Mbit/s", "10", "lab.yaml:10: links[0].rate: expected a rate such as '100 Mbit/s'"),
    ("rate: 10 Mbit/s", "up: {loss: 101 %}", "lab.yaml:10: links[0].up.loss: expected a percentage such as '1 %'"),
    ("rate:", "raet:", "lab.yaml:10: links[0].raet: unknown key; did you mean 'rate'?"),
    ("links:", "links: 3\nlonks:", "lab.yaml:7: links: expected a valid list, got 3"),
    ("role: root", "role: root, role: leaf", 'lab.yaml:5: found duplicate key "role"; a key may stand only once'),
    ("[root, leaf]", "[root, leaf", "lab.yaml:9: not valid YAML: while parsing a flow sequence"),
    ("name: small", "name: sm\n\tx", "lab.yaml:2: not valid YAML: "),
]


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES, ids=[wrong for _, wrong, _ in MISTAKES])
def test_mistake_names_file_line_and_key(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    assert right in GOOD
    lines = refusal(tmp_path, GOOD.replace(right, wrong, 1))
    assert any(line.startswith(said) for line in lines), lines


# (what stands under multicast, the refusal)
TIMERS = [
    ("{query_interval: 0.5 s}", "query_interval: expected at least 1 s, in steps of 10 ms, got '0.5 s'"),
    ("{query_response: 15 ms}", "query_response: expected at least 10 ms, in steps of 10 ms, got '15 ms'"),
    ("{igmp: 1}", "igmp: expected 2 or 3, got 1"),
    ("{snooping: yes}", "snooping: expected true or false, got 'yes'"),
    ("{preset: slow}", "preset: expected 'test' or 'field', got 'slow'"),
]


@pytest.mark.parametrize(("multicast", "said"), TIMERS)
def test_mistake_in_multicast_names_its_key(tmp_path: Path, multicast: str, said: str) -> None:
    text = GOOD.replace("10.0.0.0/29}", f"10.0.0.0/29, multicast: {multicast}}}")
    assert refusal(tmp_path, text) == [f"lab.yaml:3: bridges.hub.multicast.{said}"]


def test_several_mistakes_are_told_at_once_in_the_order_of_the_lines(tmp_path: Path) -> None:
    lines = refusal(tmp_path, GOOD.replace("small", "3").replace("count: 2", "count: x").replace("10 Mbit/s", "10 Mb"))
    assert [line.split(": ")[0] for line in lines] == ["lab.yaml:1", "lab.yaml:6", "lab.yaml:10"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- 1\n", "3\n"])
def test_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == ["lab.yaml:1: expected keys such as name, bridges, nodes, links"]


def test_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lab\.yaml: No such file"):
        load(str(tmp_path / "lab.yaml"))
    (tmp_path / "lab.yaml").write_bytes(b"name: \xff")
    with pytest.raises(UsageError, match="expected UTF-8 text, got byte 0xff"):
        load(str(tmp_path / "lab.yaml"))


def test_unknown_topology_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no topology 'stra'; did you mean 'star'\?; there are: .*star"):
        find("stra")


@pytest.mark.parametrize("leaves", [0, -1, 1023, 5000])
def test_leaf_count_out_of_range_is_refused(leaves: int) -> None:
    with pytest.raises(UsageError, match=rf"leaves={leaves}: expected 1 to 1022 leaves in star"):
        load("star", Overrides(leaves=leaves))


@pytest.mark.parametrize("leaves", [1, 1022])
def test_leaf_count_is_overridden(leaves: int) -> None:
    assert load("star", Overrides(leaves=leaves)).nodes["leaf"].count == leaves


def test_override_that_does_not_fit_the_network_says_so(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(GOOD)
    with pytest.raises(UsageError, match=r"lab\.yaml with leaves=20: 21 nodes, but 10\.0\.0\.0/29 has room for 6"):
        load(str(tmp_path / "lab.yaml"), Overrides(leaves=20))


def test_multicast_is_overridden() -> None:
    multicast = load("star", Overrides(igmp=2, preset="field")).bridges["hub"].multicast
    assert (multicast.igmp, multicast.preset) == (2, "field")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (Overrides(igmp=1), "igmp=1: expected 2 or 3"),
        (Overrides(preset="fast"), "preset=fast: expected one of test, field"),
    ],
)
def test_override_out_of_range_is_refused(overrides: Overrides, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load("star", overrides)


def test_nodes_of_a_group_are_numbered_from_one() -> None:
    assert node_names("leaf", NodeModel(role=Role.LEAF, count=2)) == ["leaf1", "leaf2"]
    assert node_names("root", NodeModel(role=Role.ROOT)) == ["root"]


@pytest.mark.parametrize("name", sorted(available()))
def test_each_topology_that_comes_with_joinlab_is_good(name: str) -> None:
    assert load(name).name == name


def test_schema_in_the_repository_is_that_of_the_models() -> None:
    assert (CHECKOUT / "topologies" / "schema.json").read_text() == schema(), (
        "run: joinlab schema > topologies/schema.json"
    )
