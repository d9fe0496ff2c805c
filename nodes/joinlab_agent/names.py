"""Constants by name: over a channel and on the Trace they stand as the documentation spells them.

May not know: calls.
"""

from collections.abc import Iterable

from multipoint import constants

_CODE_NAMES = {
    number: name
    for name, number in vars(constants).items()
    if name.startswith("WSA") and isinstance(number, int) and number > constants.WSABASEERR and number < 12000
}


def number_of(name: str) -> int:
    """Return the number of a constant of the documentation. Raises AttributeError."""
    number = getattr(constants, name)
    assert isinstance(number, int), name
    return number


def sum_of(names: Iterable[str]) -> int:
    """Return the flags of these names in one number."""
    return sum({number_of(name) for name in names})


def code_name(code: int) -> str | None:
    """Return the name of a WSA code; None for 0, which is success."""
    return _CODE_NAMES.get(code, str(code)) if code else None
