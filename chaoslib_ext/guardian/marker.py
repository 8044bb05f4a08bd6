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
    kept: str | None = None
    """A second name of the ledger beside the marker, for a run directory that somebody removes."""

    @property
    def ledger(self) -> Path:
        """Its ledger: in the run directory, else its second name."""
        path = Path(self.run_dir) / "ledger.ndjson"
        return Path(self.kept) if self.kept and not path.exists() and Path(self.kept).exists() else path

    @property
    def guarded(self) -> bool:
        """Whether its guardian lives."""
        return self.guardian is not None and processes.alive(*self.guardian)

    @property
    def supervised(self) -> bool:
        """Whether its supervisor lives."""
        return processes.alive(*self.supervisor)

    def with_guardian(self, guardian: Owner, kept: Path | None) -> Marker:
        """The same with this guardian and the second name it gave the ledger."""
        return replace(self, guardian=guardian, kept=str(kept) if kept else None)

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
                kept=raw.get("kept"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a marker of a run") from error


def remove(path: Path) -> None:
    """Remove a marker, the second name of its ledger and the socket of its guardian; idempotent."""
    for suffix in (".sock", ".ledger", ".json"):
        path.with_suffix(suffix).unlink(missing_ok=True)


def keep(path: Path, ledger: Path) -> Path | None:
    """Give the ledger a second name beside the marker; None where the file system has no such thing."""
    kept = path.with_suffix(".ledger")
    try:
        if not (kept.exists() and kept.samefile(ledger)):
            kept.unlink(missing_ok=True)
            os.link(ledger, kept)
    except OSError:
        return None
    return kept


def _owner(raw: list[float]) -> Owner:
    return int(raw[0]), float(raw[1])
