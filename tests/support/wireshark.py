"""What tshark shows of a capture with our dissector."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

DISSECTOR = Path(__file__).parents[2] / "wireshark" / "multipoint.lua"
INFO = "_ws.col.Info"

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is missing: apt-get install tshark")


def show(capture: Path, *fields: str) -> list[dict[str, Sequence[str]]]:
    """Return the values of the fields for each frame that has anything of ours, by the field's last name."""
    command = ["tshark", "-n", "-X", f"lua_script:{DISSECTOR}", "-r", str(capture), "-Y", "multipoint"]
    command += ["-T", "fields", "-E", "separator=/t", "-E", "aggregator=;"]
    command += [word for field in fields for word in ("-e", field if field == INFO else f"multipoint.{field}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # A script that fails is told here, and the frames are shown all the same.
    assert "Lua" not in done.stderr, done.stderr
    return [
        {field: cell.split(";") for field, cell in zip(fields, line.split("\t"), strict=True) if cell}
        for line in done.stdout.splitlines()
    ]
