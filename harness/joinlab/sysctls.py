"""Read and write /proc/sys/net of the network namespace that the calling thread is in.

May not know: labs, netlink.
"""

from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/proc/sys/net")


class SysctlLied(Exception):
    """The kernel took a value and gives back another."""


def exists(name: str) -> bool:
    """Tell whether the kernel has the setting."""
    return (ROOT / name).exists()


def write(settings: Mapping[str, int]) -> None:
    """Write the settings and compare what the kernel then says. Raises SysctlLied, OSError."""
    for name, asked in settings.items():
        file = ROOT / name
        file.write_text(str(asked))
        got = file.read_text().strip()
        if got != str(asked):
            raise SysctlLied(f"{name}: asked for {asked}, got {got}")
