"""Quantities as people write them, "100 Mbit/s" or "0.1 s", turned into whole numbers.

May not know: topologies, pydantic. A text that is no such quantity is a ValueError that says what was expected.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>\D+)")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A kind of quantity: its units as factors to the smallest, and an example for messages."""

    article_and_name: str
    units: Mapping[str, int]
    example: str

    @property
    def expected(self) -> str:
        """Return what a message says was expected."""
        return f"{self.article_and_name} such as '{self.example}' (units: {', '.join(self.units)})"

    @property
    def pattern(self) -> str:
        """Return a regular expression that editors can check against."""
        return rf"^\d+(\.\d+)?\s*({'|'.join(self.units)})$"

    def parse(self, text: Any) -> int:
        """Return the quantity in its smallest unit."""
        found = _QUANTITY.fullmatch(text.strip()) if isinstance(text, str) else None
        factor = self.units.get(found["unit"].strip()) if found else None
        if found is None or factor is None:
            raise ValueError(f"expected {self.expected}, got {text!r}")
        value = Decimal(found["number"]) * factor
        if value != value.to_integral_value():
            raise ValueError(f"expected {self.expected} in whole {next(iter(self.units))}, got {text!r}")
        return int(value)


# The smallest unit stands first: it is the unit of the result.
RATE = Quantity("a rate", {"bit/s": 1, "kbit/s": 1_000, "Mbit/s": 1_000_000, "Gbit/s": 1_000_000_000}, "100 Mbit/s")
DURATION = Quantity("a duration", {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000}, "10 ms")
SIZE = Quantity("a size", {"B": 1, "kB": 1_000, "KiB": 1_024, "MB": 1_000_000}, "15 kB")

PERCENT_PATTERN = r"^\d+(\.\d+)?\s*%$"


def parse_percent(text: Any) -> float:
    """Return "1.5 %" as 1.5; more than 100 % is refused."""
    found = _QUANTITY.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None or found["unit"].strip() != "%" or float(found["number"]) > 100:
        raise ValueError(f"expected a percentage such as '1 %', got {text!r}")
    return float(found["number"])


def at_least(quantity: Quantity, least: str, *, step: str) -> Callable[[Any], int]:
    """Return a parser that also refuses less than ``least`` and what is no multiple of ``step``."""
    smallest, stride = quantity.parse(least), quantity.parse(step)

    def parse(text: Any) -> int:
        value = quantity.parse(text)
        if value < smallest or value % stride:
            raise ValueError(f"expected at least {least}, in steps of {step}, got {text!r}")
        return value

    return parse
