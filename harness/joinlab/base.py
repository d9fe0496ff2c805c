"""The base of the node image where no registry answers: Debian's own Python, packed by mmdebstrap.

The packages are only unpacked, not installed: what a node needs works without their scripts, and so it takes
neither root nor a user namespace nor sub-user ids, five seconds, and 70 MB. The sources are the machine's own.

May not know: the node image, labs.
"""

import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from joinlab.errors import UnfitMachine
from joinlab.marks import LABEL_CONTENT

if TYPE_CHECKING:
    from docker import DockerClient

Progress = Callable[[str], None]

REPOSITORY = "joinlab-base"
APT = Path("/etc/apt")

# Python for the agent; the others for whoever enters a node: a shell, ls, grep, ip, ping, ps, nsenter.
PACKAGES = ("python3", "dash", "coreutils", "grep", "iproute2", "iputils-ping", "procps", "util-linux")

# Unpacking needs the merged /usr laid out first.
LAY_OUT = (
    'cd "$1" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 tmp run'
    " && ln -s usr/bin bin && ln -s usr/sbin sbin && ln -s usr/lib lib && ln -s usr/lib64 lib64"
)
# Perl comes along as a dependency of maintainer scripts, which never run here.
SLIM = (
    'cd "$1" && rm -rf usr/share/doc usr/share/man usr/share/locale'
    " usr/share/perl* usr/bin/perl* usr/lib/*/perl* usr/lib/*/libperl*"
)

# Suites of a release that are the distribution's own. Others' (bookworm-pgdg) are not needed, and may want keys.
POCKETS = ("", "-updates", "-security")

LAST_LINES = 12


def base_tag() -> str:
    """Name the base image; the name changes with the recipe and with the distribution's release."""
    recipe = "\n".join((*PACKAGES, LAY_OUT, SLIM, _release().get("VERSION_CODENAME", ""), platform.machine()))
    return f"{REPOSITORY}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def base_problem() -> str | None:
    """Say why no base can be made on this machine, with the cure; None: it can."""
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is missing, which makes one of Debian's packages: apt-get install mmdebstrap"
    if not _release().get("VERSION_CODENAME"):
        return "this machine is no Debian release, of which mmdebstrap could make one: docker pull python:3.11-slim"
    return None


def make_base(client: "DockerClient", progress: Progress) -> str:
    """Make the base image and return its tag. Raises UnfitMachine."""
    tag = base_tag()
    progress("Packing the base of the node image from this machine's Debian packages (about 10 s) ...")
    with tempfile.TemporaryDirectory(prefix="joinlab-base-") as directory:
        archive = Path(directory, "base.tar")
        _pack(archive, Path(directory))
        repository, _, name = tag.partition(":")
        label = f"LABEL {LABEL_CONTENT}={tag}"
        client.api.import_image_from_file(str(archive), repository=repository, tag=name, changes=[label])
    return tag


def _pack(archive: Path, scratch: Path) -> None:
    codename = _release()["VERSION_CODENAME"]
    command = [
        "mmdebstrap",
        # Unpacking needs no root in this mode, whatever the machine allows.
        *("--variant=extract", "--mode=chrootless", "--format=tar", "--quiet"),
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Acquire::Languages "none"',
        f"--setup-hook={LAY_OUT}",
        f"--extract-hook={SLIM}",
        *(codename, str(archive)),
        *_sources(codename, scratch),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise UnfitMachine([f"mmdebstrap could not make the base image; its last lines:\n  {last}"])


def _sources(codename: str, scratch: Path) -> Iterator[str]:
    """Write the machine's package sources of this release, and only those, and name the files."""
    for source in (APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))):
        if source.suffix in PARTS and source.is_file():
            text = source.read_text()
            split, joint = PARTS[source.suffix]
            parts = [part for part in split(text) if is_of_release(part, codename)]
            if parts:
                copy = scratch / source.name
                copy.write_text(joint.join(parts) + "\n")
                yield str(copy)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("deb ")]


def _stanzas(text: str) -> list[str]:
    return [stanza for stanza in text.split("\n\n") if stanza.strip()]


# How apt's two formats fall into parts, one for each source.
PARTS: dict[str, tuple[Callable[[str], list[str]], str]] = {".list": (_lines, "\n"), ".sources": (_stanzas, "\n\n")}


def is_of_release(part: str, codename: str) -> bool:
    """Tell whether a source is the distribution's own for this release, and switched on."""
    lines = [line for line in part.splitlines() if not line.startswith("#")]
    words = {word for line in lines for word in line.split()}
    is_off = any(line.lower().replace(" ", "") == "enabled:no" for line in lines)
    return not is_off and "main" in words and any(f"{codename}{pocket}" in words for pocket in POCKETS)


def _release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
