"""The open marker of a run: the file in $MUSTER_HOME/open that says where its ledger is and who looks after it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from chaoslib_ext import processes

Owner = tuple[int, float]
"""Pid and psutil create time."""


@dataclass(frozen=True, slots=True)
class Marker:
    """One run that may have something open."""

    run_id: str
    run_dir: str
    socket: str
    scope: tuple[str, ...]
    supervisor: Owner
    guardian: Owner | None = None

    @property
    def ledger(self) -> Path:
        """Its ledger."""
        return Path(self.run_dir) / "ledger.ndjson"

    @property
    def guarded(self) -> bool:
        """Whether its guardian lives."""
        return self.guardian is not None and processes.alive(*self.guardian)

    @property
    def supervised(self) -> bool:
        """Whether its supervisor lives."""
        return processes.alive(*self.supervisor)

    def with_guardian(self, guardian: Owner) -> Marker:
        """The same with this guardian."""
        return replace(self, guardian=guardian)

    def save(self, path: Path) -> None:
        """Write it so that a reader never sees half of it."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("w") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Marker:
        """Read it. Raises OSError, ValueError where it is unreadable or damaged."""
        raw = json.loads(path.read_text())
        try:
            return cls(
                run_id=str(raw["run_id"]),
                run_dir=str(raw["run_dir"]),
                socket=str(raw["socket"]),
                scope=tuple(str(one) for one in raw["scope"]),
                supervisor=_owner(raw["supervisor"]),
                guardian=_owner(raw["guardian"]) if raw["guardian"] else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a marker of a run") from error


def _owner(raw: list[float]) -> Owner:
    return int(raw[0]), float(raw[1])
