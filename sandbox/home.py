"""Where a sandbox lives on disk: one folder per checkout under $MUSTER_HOME/sandbox.

state.json      what was started: instances, ports, links (never a secret)
agent.json      pid and start time of the node agent
children.ndjson every process the agent ever started: instance, pid, start time
conf/ data/     rendered configurations and stores; gone after `down`
logs/ truth/    kept after `down` until the next `up`, for whoever asks what happened
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sandbox.node.processes import sweep_shared_memory

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that holds the `sandbox` package: what makes two sandboxes of one user different."""


def muster_home() -> Path:
    """The folder of all state, from MUSTER_HOME or the XDG default; resolved at each call."""
    chosen = os.environ.get("MUSTER_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".local" / "state" / "muster"


def checkout_key(checkout: Path = CHECKOUT) -> str:
    """A short readable name of a checkout, different for every path."""
    return f"{checkout.name}-{hashlib.sha256(str(checkout).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Box:
    """The files of one sandbox; the folder need not exist yet."""

    root: Path

    @classmethod
    def here(cls) -> "Box":
        """The sandbox of this checkout and of the present MUSTER_HOME."""
        return cls(muster_home() / "sandbox" / checkout_key())

    @property
    def state_file(self) -> Path:
        """What was started."""
        return self.root / "state.json"

    @property
    def agent_file(self) -> Path:
        """Who the node agent is."""
        return self.root / "agent.json"

    @property
    def children_file(self) -> Path:
        """Every process the node agent started."""
        return self.root / "children.ndjson"

    @property
    def agent_log(self) -> Path:
        """What the node agent says."""
        return self.root / "agent.log"

    @property
    def conf(self) -> Path:
        """Rendered configurations."""
        return self.root / "conf"

    @property
    def data(self) -> Path:
        """Volumes of the pods, one folder an instance."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        """stdout and stderr of every instance."""
        return self.root / "logs"

    @property
    def truth(self) -> Path:
        """The truth logs; read by tests and benchmarks only."""
        return self.root / "truth"

    @property
    def secret_file(self) -> Path:
        """The venue's master secret, mode 0600."""
        return self.root / "secret"

    @property
    def kubeconfig(self) -> Path:
        """An empty one: no cluster here, and none of the user's by accident."""
        return self.conf / "kubeconfig"

    def log_of(self, instance: str) -> Path:
        """The log of one instance, or of the agent by the name `agent`."""
        return self.agent_log if instance == "agent" else self.logs / f"{instance}.log"

    def state(self) -> dict[str, Any] | None:
        """What was started, or None when nothing was (or when the file is no JSON: a crash in mid-air)."""
        return read_json(self.state_file)

    def sweep(self) -> None:
        """Remove what only a running sandbox needs; logs and truth stay. Idempotent."""
        sweep_shared_memory(self.children_file)
        for file in (self.state_file, self.agent_file, self.children_file, self.secret_file):
            file.unlink(missing_ok=True)
        for folder in (self.conf, self.data):
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sandbox's lock, so that two `up` or `down` do not meet; waits for the other."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`, or None where there is no such file or no whole object in it."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` by `value` at once: a reader sees the old or the new object, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    temporary.replace(path)
