"""What the tests of the sandbox's Kubernetes share: kubectl, and whether the parts are there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.parts import KUBERNETES, find

MISSING = [part.name for part in KUBERNETES if not find(part).ok]
built = pytest.mark.skipif(
    bool(MISSING),
    reason=f"not built: {', '.join(MISSING)}; make test builds them, or python -m sandbox parts --kubernetes",
)


class Kubectl:
    """The real kubectl against one kubeconfig, as its admin or with a token of somebody else."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.program = find(KUBERNETES[-1]).path or "kubectl"

    def run(self, *words: str, stdin: str | None = None, timeout_s: float = 40) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [self.program, "--kubeconfig", str(self.kubeconfig), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.kubeconfig.parent)},  # its cache stays with the test
        )

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run it; it must succeed. Its output."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:  # noqa: ANN401 - whatever the API server says
        """Run it with -o json; what it prints."""
        return json.loads(self(*words, "-o", "json"))

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        return list(self.json("get", *words)["items"])
