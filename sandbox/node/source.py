"""Where a node agent learns of its pods; as a kubelet does, from a folder or from an API server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sandbox.errors import BadUse
from sandbox.node.pods import Pod, check_unique
from sandbox.node.workloads import load_file

BUNDLED = Path(__file__).resolve().parent.parent / "manifests"
"""The manifests of the exchange that ships with us."""


class PodSource(Protocol):
    """Tells which pods are to run on this node."""

    def pods(self) -> list[Pod]:
        """The pods, in the order in which they are started; raises BadUse for one that cannot be read."""
        ...


class StaticPods:
    """The pods of every `*.yaml` in a folder, in the order of the files' names, then those of the asked features."""

    def __init__(self, folder: Path = BUNDLED, features: Sequence[str] = ()) -> None:
        """`features` as `describe` names them: a subfolder of that name, where there is one, is read as well."""
        self.folder = folder
        self.folders = [folder, *(folder / feature for feature in features)]

    def pods(self) -> list[Pod]:
        """Read them all; raises BadUse for a mistake, a name used twice, or a folder without pods."""
        files = [path for folder in self.folders for path in sorted(folder.glob("*.yaml"))]
        found = [pod for path in files for pod in load_file(path)]
        if not found:
            raise BadUse(f"{self.folder}: no pod manifests (*.yaml) here")
        check_unique(found)
        return found
