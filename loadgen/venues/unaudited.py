"""A venue whose own record cannot be read: what the other abilities of a venue are worth then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from drills.evidence import COMMANDS, FILLS, RunDir, write_atomic
from loadgen.venues.results import AuditResult, CanaryResult


class Unaudited:
    """Base of venues without audit; a subclass adds `wire`, and whatever else it can do.

    Without an audit no loss can be ruled out: a drill against such a venue is at best inconclusive on its RPO.
    """

    name = "this venue"

    def watermark(self, venue: Mapping[str, Any]) -> int:
        """0: the venue numbers nothing that we could read."""
        return 0

    def place_canaries(self, venue: Mapping[str, Any], n: int) -> CanaryResult:
        """None placed: nobody but the load trades here."""
        return CanaryResult(sent=0, ok=0, good=0, p99_ms=None, errors=(f"{self.name}: no canaries are placed here",))

    def audit(self, venue: Mapping[str, Any], run_dir: Path, watermark_timeout_s: float) -> AuditResult:
        """An audit folder that says that nothing was read, and why."""
        result = AuditResult(
            complete=False,
            reason=f"{self.name} offers no record that could be read",
            clients=(),
            from_seq=1,
            to_seq=0,
            rows=0,
            foreign=0,
            diverged_at=None,
        )
        folder = RunDir(run_dir).audit_meta.parent
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in (("commands", COMMANDS), ("fills", FILLS)):
            path = folder / f"{name}.parquet"
            temporary = path.with_name(path.name + ".tmp")
            pq.write_table(pa.Table.from_pylist([], schema), temporary, compression="zstd")
            temporary.replace(path)
        meta = {**asdict(result), "hashes": {}}
        write_atomic(folder / "meta.json", orjson.dumps(meta, option=orjson.OPT_INDENT_2))
        return result
