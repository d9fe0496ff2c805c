"""The examples, as the README has one run them."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_examples_pass_on_star() -> None:
    argv = [sys.executable, "-m", "pytest", "examples", "--topology=star", "--runtime=netns", "-p", "no:cacheprovider"]
    done = subprocess.run(argv, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
