"""A YAML file read as plain data that still knows the line of each key.

May not know: what the data means. Everything that is wrong with the file itself (missing, unreadable, broken YAML, a
key given twice) is a UsageError that names file and line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from joinlab.errors import UsageError

Place = tuple[str | int, ...]  # where in the data: ("links", 0, "rate")


@dataclass(frozen=True)
class YamlFile:
    """The data of one file, and the line (from 1) of each place in it."""

    name: str
    data: Any
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """Return the line of ``place``, or of the nearest thing around it that stands in the file."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(file: Path) -> YamlFile:
    """Read ``file``; raises UsageError."""
    name = str(file)
    try:
        tree = YAML(typ="rt").load(file.read_text(encoding="utf-8"))
        return YamlFile(name, _plain(tree), dict(_lines(tree, ())))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: expected UTF-8 text, got byte {error.object[error.start]:#04x}") from error
    except DuplicateKeyError as error:
        raise UsageError(f"{_where(name, error)}: {_first_line(error)}; a key may stand only once") from error
    except MarkedYAMLError as error:
        raise UsageError(f"{_where(name, error)}: not valid YAML: {_first_line(error)}") from error
    except YAMLError as error:
        raise UsageError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise UsageError(f"{name}: an alias refers to what it stands in") from error


def _where(name: str, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{name}:{mark.line + 1}" if mark else name


def _first_line(error: MarkedYAMLError) -> str:
    parts = [part.splitlines()[0] for part in (error.context, error.problem) if part]
    # Of a key given twice, ruamel quotes the old value and the new, which may be long.
    return ", ".join(part.split(" with value")[0] for part in parts if part != "while constructing a mapping")


def _plain(tree: Any) -> Any:
    """Return ruamel's containers and scalars as those of Python."""
    if isinstance(tree, CommentedMap):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, CommentedSeq):
        return [_plain(value) for value in tree]
    for kind in (bool, int, float, str):
        if isinstance(tree, kind):
            return kind(tree)
    return tree


def _lines(tree: Any, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(tree, CommentedMap):
        # Keys that came by a merge have no place of their own: line_of answers with what is around.
        own = tree.lc.data or {}
        steps = [(key, own[key][0]) for key in tree if key in own]
    elif isinstance(tree, CommentedSeq):
        steps = [(index, tree.lc.item(index)[0]) for index in range(len(tree))]
    else:
        return
    for key, line in steps:
        yield (*place, key), line + 1
        yield from _lines(tree[key], (*place, key))
