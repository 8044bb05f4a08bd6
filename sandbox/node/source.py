"""Where a node agent learns of its pods; as a kubelet does, from a folder or from an API server."""

from pathlib import Path
from typing import Protocol

from sandbox.errors import BadUse
from sandbox.node.pods import Pod, check_unique
from sandbox.node.workloads import load_file

BUNDLED = Path(__file__).resolve().parent.parent / "manifests"
"""The manifests of the exchange that ships with us."""

CLOUD = Path(__file__).resolve().parent.parent / "cloud" / "manifests"
"""The manifest of the cloud, beside whatever else runs."""


class PodSource(Protocol):
    """Tells which pods are to run on this node."""

    def pods(self) -> list[Pod]:
        """The pods, in the order in which they are started; raises BadUse for one that cannot be read."""
        ...


class StaticPods:
    """The pods of every `*.yaml` in some folders, in the order of the folders and of the files' names."""

    def __init__(self, *folders: Path) -> None:
        self.folders = folders or (BUNDLED,)

    def pods(self) -> list[Pod]:
        """Read them all; raises BadUse for a mistake, a name used twice, or a folder without pods."""
        found: list[Pod] = []
        for folder in self.folders:
            there = [pod for path in sorted(folder.glob("*.yaml")) for pod in load_file(path)]
            if not there:
                raise BadUse(f"{folder}: no pod manifests (*.yaml) here")
            found += there
        check_unique(found)
        return found
