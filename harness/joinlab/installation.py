"""Whether the packages that joinlab needs are there: an environment loses one more easily than one thinks.

May not know: what they are for. Standard library only.
"""

import contextlib
import importlib.util
import shlex
import sys
from collections.abc import Iterator

from joinlab.errors import UnfitMachine

# The dependencies of pyproject.toml, by what is imported; pip calls them the same.
PACKAGES = ("docker", "pydantic", "pyroute2", "pytest", "rich", "ruamel.yaml", "scapy", "typer")


@contextlib.contextmanager
def whole_installation() -> Iterator[None]:
    """Do something that imports joinlab's parts, if all that they need is there; else raises UnfitMachine.

    Looked for without importing, since much is imported late, and the keeper imports in a process of its own.
    """
    if missing := [package for package in PACKAGES if not _is_there(package)]:
        raise UnfitMachine([f"Python packages are missing ({', '.join(missing)}): {_pip('install', *missing)}"])
    try:
        yield
    except ImportError as error:  # something that one of these needs
        raise UnfitMachine([f"Python packages lack something ({error}): {_pip('check')} tells what"]) from error


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the one that it is a part of
        return False


def _pip(*arguments: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", *arguments])
