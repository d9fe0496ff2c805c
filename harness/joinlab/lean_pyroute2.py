"""Import parts of pyroute2 without the whole of it: 45 ms instead of 115 ms, at the start of every lab.

``pyroute2/__init__`` imports all that pyroute2 can do, nftables and Wi-Fi included. We need its messages only, so a
bare package object stands in for it, which finds the same submodules. Only the keeper does this: it is a process of
its own, and nobody else's code runs there.

May not know: what the messages are.
"""

import importlib.util
import sys
from types import ModuleType


def prepare() -> None:
    """Let submodules of pyroute2 be imported without its ``__init__``; does nothing where it is imported already."""
    if "pyroute2" in sys.modules:
        return
    found = importlib.util.find_spec("pyroute2")
    if found is None or found.submodule_search_locations is None:
        return  # the import that follows says what is missing
    package = ModuleType("pyroute2")
    package.__path__ = found.submodule_search_locations
    package.__spec__ = found
    sys.modules["pyroute2"] = package
