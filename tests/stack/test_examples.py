"""The examples of docs/multipoint.md, run as they stand."""

import re
from pathlib import Path

import pytest
from tests.stack.network import isolated

PAGE = Path(__file__).parents[2] / "docs" / "multipoint.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
@isolated
def test_example(number: int) -> None:
    exec(compile(EXAMPLES[number], f"{PAGE.name}, example {number + 1}", "exec"), {"__name__": "__main__"})


def test_page_has_examples_of_both_faces() -> None:
    assert sum("winsock" in example for example in EXAMPLES) >= 1
    assert sum("Stack(" in example for example in EXAMPLES) >= 3
