"""What a run leaves on disk: paths, schemas, and the manifest."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

NOTIONAL = pa.decimal128(38, 8)

WITNESS = pa.schema(
    [
        pa.field("op_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # place | cancel | amend
        pa.field("session", pa.string(), nullable=False),  # account of the session
        pa.field("key", pa.string(), nullable=False),  # symbol
        pa.field("notional", NOTIONAL),  # null for cancels and market orders
        pa.field("intended_ns", pa.int64(), nullable=False),  # τ
        pa.field("sent_ns", pa.int64()),  # i, first attempt; null = scheduled and never sent
        pa.field("answered_ns", pa.int64()),  # r, the answer that decided it; null = never
        pa.field("outcome", pa.string(), nullable=False),  # ok | reject | unknown (never sent: unknown)
        pa.field("server_seq", pa.int64()),
        pa.field("epoch", pa.int64()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("error", pa.string()),  # retCode, or disconnected | timeout | unresolved | unsent
    ]
)
"""One row an operation (DESIGN: operation o). Times are CLOCK_MONOTONIC nanoseconds."""

COMMANDS = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("op_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("notional", NOTIONAL),
        pa.field("outcome", pa.string(), nullable=False),  # New | Filled | PartiallyFilled | Cancelled | Amended
    ]
)
"""audit/commands.parquet: one row an accepted command, in sequence order; commands of others included (foreign)."""

FILLS = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("exec_id", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("price", NOTIONAL, nullable=False),
        pa.field("qty", NOTIONAL, nullable=False),
        pa.field("taker_op", pa.string(), nullable=False),
        pa.field("maker_op", pa.string(), nullable=False),
        pa.field("taker_side", pa.string(), nullable=False),
    ]
)
"""audit/fills.parquet: one row an execution."""

SAMPLES = pa.schema(
    [
        pa.field("t_ns", pa.int64(), nullable=False),
        pa.field("probe", pa.string(), nullable=False),
        pa.field("target", pa.string()),
        pa.field("value", pa.float64()),  # null = no data, never zero
        pa.field("unit", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("error", pa.string()),  # why there is no data
    ]
)
"""samples.parquet: one row a reading."""


@dataclass(frozen=True, slots=True)
class RunDir:
    """The directory of one run: `<runs>/<name>/<id>/`."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's id, the last part of its path."""
        return self.path.name

    @property
    def plan(self) -> Path:
        """Frozen, hashed plan."""
        return self.path / "plan.json"

    @property
    def environment(self) -> Path:
        """Where it ran, as it described itself before anything was touched."""
        return self.path / "environment.json"

    @property
    def events(self) -> Path:
        """Append-only, hash-chained event log."""
        return self.path / "events.ndjson"

    @property
    def ledger(self) -> Path:
        """Undo recipes and their states."""
        return self.path / "ledger.ndjson"

    @property
    def journal(self) -> Path:
        """Journal of the Chaos Toolkit."""
        return self.path / "journal.json"

    @property
    def witness(self) -> Path:
        """One row an operation, schema WITNESS."""
        return self.path / "witness.parquet"

    @property
    def reads(self) -> Path:
        """One row an operation that only reads, schema WITNESS; absent where the load had none."""
        return self.path / "reads.parquet"

    @property
    def witness_chunks(self) -> Path:
        """Folder of chunk-NNNNN.arrow files, written while the load runs."""
        return self.path / "witness"

    @property
    def commands(self) -> Path:
        """Accepted commands, schema COMMANDS."""
        return self.path / "audit" / "commands.parquet"

    @property
    def fills(self) -> Path:
        """Executions, schema FILLS."""
        return self.path / "audit" / "fills.parquet"

    @property
    def audit_meta(self) -> Path:
        """How the audit was read, and whether it is complete."""
        return self.path / "audit" / "meta.json"

    @property
    def samples_log(self) -> Path:
        """Readings as NDJSON while the run goes on (fields of SAMPLES)."""
        return self.path / "samples.ndjson"

    @property
    def samples(self) -> Path:
        """Readings, schema SAMPLES."""
        return self.path / "samples.parquet"

    @property
    def load(self) -> Path:
        """Folder of the load process: config, schedule, cursor, live counts."""
        return self.path / "load"

    @property
    def live(self) -> Path:
        """Live counts of the load, one NDJSON line each 100 ms."""
        return self.path / "load" / "live.ndjson"

    @property
    def logs(self) -> Path:
        """Folder of the processes' own logs."""
        return self.path / "logs"

    @property
    def verdict(self) -> Path:
        """The public, versioned verdict."""
        return self.path / "verdict.json"

    @property
    def report(self) -> Path:
        """The self-contained HTML report."""
        return self.path / "report.html"

    @property
    def junit(self) -> Path:
        """One case an objective."""
        return self.path / "junit.xml"

    @property
    def manifest(self) -> Path:
        """SHA-256 of every file of the run."""
        return self.path / "evidence.json"


def home() -> Path:
    """Where state lives: $MUSTER_HOME, else ~/.local/state/muster (created, mode 0700)."""
    path = Path(os.environ.get("MUSTER_HOME") or Path.home() / ".local" / "state" / "muster").absolute()
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def new_run_id(now: datetime | None = None) -> str:
    """UTC time and four random characters of a-z2-7, such as 20261121T081502Z-7k2m."""
    when = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return f"{when}-{''.join(secrets.choice(alphabet) for _ in range(4))}"


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write so that a reader sees the old file or the whole new one; fsynced before the rename."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
