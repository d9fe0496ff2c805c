"""IP addresses as text, taken apart. The same few come again and again, so what was found is kept.

May not know: sockets, names of hosts.
"""

from functools import lru_cache
from ipaddress import ip_address

KEPT = 1024
BROADCAST = "255.255.255.255"


@lru_cache(KEPT)
def packed(host: str) -> bytes:
    """Return the 4 or 16 bytes of an address; a scope id behind it is left out. Raises ValueError."""
    return ip_address(host.partition("%")[0]).packed


@lru_cache(KEPT)
def unpacked(data: bytes) -> str:
    """Return the text of an address of 4 or 16 bytes."""
    return str(ip_address(data))


@lru_cache(KEPT)
def is_group(host: str) -> bool:
    """Tell whether an address is a multicast group's. Raises ValueError."""
    return ip_address(host.partition("%")[0]).is_multicast


@lru_cache(KEPT)
def is_one_host(host: str) -> bool:
    """Tell whether an address is that of one host: no group's, not the wildcard, not everybody's. Raises ValueError."""
    return not (is_group(host) or is_unspecified(host) or host == BROADCAST)


@lru_cache(KEPT)
def is_unspecified(host: str) -> bool:
    """Tell whether an address is the wildcard. Raises ValueError."""
    return ip_address(host.partition("%")[0]).is_unspecified
