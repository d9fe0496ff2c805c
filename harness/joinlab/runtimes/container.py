"""What the engine is told about a node's container: data only.

May not know: how a container is started, or that there are others.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from joinlab.control import SOCKET_IN_CONTAINER, Control
from joinlab.image import package_directory
from joinlab.marks import LABEL_NODE, LABEL_ROLE, ROLE_NODE
from joinlab.plan import NodePlan

if TYPE_CHECKING:
    from docker import DockerClient

# The agent and what it imports, for a user's image.
MOUNTED_PACKAGES = ("joinlab_agent", "multipoint")
CODE_IN_CONTAINER = "/joinlab"

# Generous for applications under test, and short of what would stop a laptop when one runs wild.
PROCESSES_AT_MOST = 1024
MEMORY_AT_MOST = "1g"
TEMPORARY_FILES = {"/tmp": "mode=1777,size=256m"}

# No network of the engine's, no capability, nothing writable but /tmp. A node needs none of them.
LEAST_PRIVILEGES: Mapping[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": PROCESSES_AT_MOST,
    "mem_limit": MEMORY_AT_MOST,
    "tmpfs": TEMPORARY_FILES,
}


def node_container(
    client: "DockerClient", control: Control, node: NodePlan, image: str, *, auto_remove: bool = True
) -> dict[str, Any]:
    """Return the arguments of ``client.api.create_container`` for a node."""
    command = ["python3", "-m", "joinlab_agent", "--dial", SOCKET_IN_CONTAINER, "--name", node.name]
    return {
        "name": f"joinlab-{control.id}-{node.name}",
        "image": image,
        # As entry point, so that an image's own is not started.
        "entrypoint": [*command, "--token", control.token],
        "command": [],
        "hostname": node.name,
        "user": f"{os.getuid()}:{os.getgid()}",
        "working_dir": "/tmp",
        "environment": {"PYTHONPATH": CODE_IN_CONTAINER, "HOME": "/tmp"},
        "labels": control.labels | {LABEL_NODE: node.name, LABEL_ROLE: ROLE_NODE},
        "host_config": client.api.create_host_config(
            **LEAST_PRIVILEGES, auto_remove=auto_remove, mounts=_mounts(control, node)
        ),
    }


def _mounts(control: Control, node: NodePlan) -> list[Any]:
    from docker.types import Mount

    mounts = [Mount(SOCKET_IN_CONTAINER, str(control.socket_path), type="bind")]
    if node.image is not None:
        for package in MOUNTED_PACKAGES:
            source = str(package_directory(package))
            mounts.append(Mount(f"{CODE_IN_CONTAINER}/{package}", source, type="bind", read_only=True))
    return mounts
