"""What the load process is told: one JSON file in its run's folder, without any secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drills.errors import DefinitionError
from drills.evidence import RunDir, write_atomic

Outage = Literal["drop", "queue", "retry-idempotent"]
Unanswered = Literal["hold", "skip", "send-anyway"]


LIMITS_MS = {"place": 500, "cancel": 250, "amend": 250} | dict.fromkeys(
    ("withdraw", "transfer", "request", "read"), 1000
)


class LoadConfig(BaseModel):
    """One replay: which trace, how fast, against which venue, and what its clients do in an outage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(min_length=1, max_length=25)  # op ids, `<run_id>-<n>`, must fit in 36 characters
    run_dir: Path
    trace: str  # path or bundled name
    speed: float = Field(default=1.0, gt=0, le=1000)
    amplify: int = Field(default=1, ge=1, le=20)
    outage: Outage = "retry-idempotent"
    venue: dict[str, Any]  # `venue` of the sandbox's description, or of an environment
    timeout_ms: int = Field(default=2000, ge=50, le=2000)  # of every attempt
    limits_ms: dict[str, int] = LIMITS_MS  # good: answered within, counted from the intended time
    start_ns: int | None = None  # CLOCK_MONOTONIC; null: as soon as every session is connected
    seed: int = 1
    duration_s: float = Field(gt=0)  # the schedule is cut here; a shorter trace repeats
    sessions: int | None = Field(default=None, ge=1)  # fold the trace onto so many sessions
    transform: tuple[dict[str, Any], ...] = ()  # steps of loadgen.transform, in order, before anything else
    jitter_ms: float = Field(default=0.0, ge=0, le=60_000)  # each operation of a copy moves by up to so much
    workers: int = Field(default=1, ge=1, le=100)
    worker: int | None = Field(default=None, ge=0, le=99)  # null: the one that plays everything
    collect: Literal["folder", "messages"] = "folder"  # workers write to the run's folder, or send all at the end
    unanswered: Unanswered = "hold"  # a cancel or amend whose order has no id of the venue yet, where it needs one
    connects_per_s: float = Field(default=500.0, gt=0)  # new connections, after the start and in an outage
    connections: int = Field(default=8, ge=1, le=256)  # of a session, where one carries one request at a time
    allow: tuple[str, ...] = ()  # withdraw, transfer: what may leave for a venue that is not the sandbox

    @property
    def shard(self) -> tuple[int, int]:
        """Which part of how many this process plays: sessions whose number leaves that remainder."""
        return (0, 1) if self.worker is None else (self.worker, self.workers)

    @property
    def path(self) -> Path:
        """Where the configuration of this run belongs: `<run>/load/config.json`."""
        return RunDir(self.run_dir).load / "config.json"

    def save(self) -> Path:
        """Write the configuration to `path`, making the folders of the run; returns the path."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, self.model_dump_json(indent=1).encode())
        return self.path


def load(path: Path) -> LoadConfig:
    """Read a configuration; raises DefinitionError naming the file and the first wrong field."""
    try:
        return LoadConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DefinitionError(str(path), "no such load configuration") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise DefinitionError(str(path), f"{where}: {first['msg']} (got {first['input']!r})"[:300]) from error
