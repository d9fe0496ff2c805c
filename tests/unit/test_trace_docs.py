"""docs/trace.md is true: its examples are valid, and it names each sentence and each kind of record."""

import re
from inspect import isfunction
from pathlib import Path

import pytest

from joinlab.expect import Expectations
from joinlab.records import Kind

TEXT = (Path(__file__).parents[2] / "docs" / "trace.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SENTENCES = [name for name, member in vars(Expectations).items() if isfunction(member) and not name.startswith("_")]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_name_what_there_is(example: str) -> None:
    exec(compile(example, "docs/trace.md", "exec"), {})
    for sentence in re.findall(r"expect\.(\w+)", example.partition("def ")[2]):
        assert sentence in SENTENCES


@pytest.mark.parametrize("name", SENTENCES)
def test_each_sentence_is_described(name: str) -> None:
    assert f"`{name}(" in TEXT or f"`expect.{name}(" in TEXT or f" `{name}(" in TEXT


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_is_described(kind: Kind) -> None:
    assert f"| `{kind.name}` |" in TEXT
