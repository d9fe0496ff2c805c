"""With which code the kernel's refusal ends a join, where that hangs on the state of the host (JL-67, JL-68).

May not know: sockets of the stack.
"""

from multipoint import constants, kernel
from multipoint.addresses import is_unspecified
from multipoint.errors import from_kernel_at_join


def code_of(number: int | None, local: str) -> int:
    """Return the code for a kernel error at a join from a local address: without a network it isn't just the way."""
    code = from_kernel_at_join(number)
    if code == constants.WSAENETUNREACH and not _has_network(local):
        return constants.WSAENETDOWN
    return code


def _has_network(local: str) -> bool:
    """Tell whether the interface with the address is switched on; for the wildcard, whether any is."""
    return kernel.is_any_up() if is_unspecified(local) else kernel.is_reachable(local)
