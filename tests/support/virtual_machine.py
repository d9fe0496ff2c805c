"""A virtual machine with another kernel, made from files of this machine: for what this kernel lacks (netem).

The kernel is Debian's cloud kernel, unpacked by ``make netem-kernel`` into build/netem-kernel; the file system is an
initramfs with this Python, its packages and the checkout. qemu emulates the processor, so neither /dev/kvm nor any
privilege is needed: from nothing to the first line of Python in about 5 s.
"""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
KERNEL = CHECKOUT / "build" / "netem-kernel"
# In the order in which they depend on each other; what the kernel has built in has no file.
MODULES = ("llc", "stp", "ipv6", "bridge", "veth", "sch_netem", "sch_tbf")
# What the tests in the machine import, and nothing that is large: compilers and checkers stay outside.
LEFT_OUT = ("mypy", "mypyc", "ruff", "pip", "setuptools", "__pycache__")
MEMORY_MB = 2048

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox ip link set lo up
for module in {modules}; do /bin/busybox insmod /modules/$module.ko; done
cd {checkout}
{command}
echo "exit status: $?"
/bin/busybox poweroff -f
"""


def missing() -> list[str]:
    """Return what this machine lacks to run one, each with its cure."""
    cures = {
        "qemu-system-x86_64": "apt-get install qemu-system-x86",
        "busybox": "apt-get install busybox-static",
        "cpio": "apt-get install cpio",
    }
    lines = [f"{tool} is missing: {cure}" for tool, cure in cures.items() if shutil.which(tool) is None]
    if not list(KERNEL.glob("boot/vmlinuz-*")):
        lines.append("a kernel with netem is missing: make netem-kernel")
    return lines


def run(command: Sequence[str], directory: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in a new machine, as root in the checkout; ``directory`` takes the file system.

    The result's ``returncode`` is the command's, its ``stdout`` the machine's console. Raises
    subprocess.TimeoutExpired.
    """
    archive = directory / "initramfs"
    _fill(directory / "root", command)
    _pack(directory / "root", archive)
    (kernel,) = KERNEL.glob("boot/vmlinuz-*")
    machine = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", str(MEMORY_MB), "-no-reboot"]
    console = ["-display", "none", "-nodefaults", "-serial", "stdio"]
    boot = ["-kernel", str(kernel), "-initrd", str(archive), "-append", "console=ttyS0 quiet panic=-1"]
    done = subprocess.run(
        [*machine, *console, *boot],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    _, found, status = done.stdout.rpartition("exit status: ")
    return subprocess.CompletedProcess(command, int(status.split()[0]) if found else -1, done.stdout)


def _fill(root: Path, command: Sequence[str]) -> None:
    for directory in ("dev", "proc", "sys", "tmp", "bin", "modules", "etc"):
        (root / directory).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox, "missing() was to be asked first"
    shutil.copy2(busybox, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    modules = [next(iter(KERNEL.rglob(f"{name}.ko")), None) for name in MODULES]
    for module in filter(None, modules):
        shutil.copy2(module, root / "modules")
    _copy_python(root)
    for part in ("nodes", "harness", "tests", "topologies", "pyproject.toml"):
        _copy(CHECKOUT / part, root)
    init = root / "init"
    quoted = " ".join(f"'{word}'" for word in command)
    names = " ".join(module.stem for module in modules if module)
    init.write_text(INIT.format(modules=names, checkout=CHECKOUT, command=quoted))
    init.chmod(0o755)


def _copy_python(root: Path) -> None:
    """Copy the interpreter, the standard library, the installed packages and the shared libraries they need."""
    interpreter = Path(sys.executable)
    real = interpreter.resolve()
    trees = [Path(sysconfig.get_path("stdlib")), *filter(Path.exists, map(Path, site.getsitepackages()))]
    for path in (real, *trees):
        _copy(path, root)
    if interpreter != real:
        link = root / interpreter.relative_to("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(real)
        _copy(Path(sys.prefix) / "pyvenv.cfg", root)
    binaries = [real, *(file for tree in trees for file in tree.rglob("*.so"))]
    for library in _libraries(binaries):
        _copy(library, root)


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    listing = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    words = (word for line in listing.splitlines() for word in line.split())
    return {Path(word) for word in words if word.startswith("/") and not word.endswith(":")}


def _copy(source: Path, root: Path) -> None:
    target = root / source.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    elif not target.exists():
        shutil.copy2(source, target)


def _pack(root: Path, archive: Path) -> None:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    with archive.open("wb") as output:
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet", "--null"],
            cwd=root,
            input="\0".join(names).encode(),
            stdout=output,
            check=True,
        )
    shutil.rmtree(root)


def environment_of(command: Sequence[str], **variables: str) -> list[str]:
    """Put environment variables before a command: the machine starts without any."""
    return ["/bin/busybox", "env", *(f"{name}={value}" for name, value in variables.items()), *command]


def python() -> str:
    """Return the path of this interpreter, the same in the machine."""
    return os.fspath(Path(sys.executable))
