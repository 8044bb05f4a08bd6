"""The part in the evidence of a worker that was lost with its host, and everything that it had written."""

from __future__ import annotations

import numpy as np

from drills.evidence import RunDir
from loadgen import schedule, transform
from loadgen import trace as traces
from loadgen.config import LoadConfig
from loadgen.engine.files import LoadFiles
from loadgen.engine.windows import TICK_NS
from loadgen.witness import Cursor

MS = 1_000_000


def write(config: LoadConfig, start_ns: int, lost_ns: int) -> None:
    """Write the schedule of the worker that `config` names, begun up to the instant at which it was missed.

    What it sent until then nobody knows any more: those operations are `unresolved`, the later ones `unsent`.
    """
    files = LoadFiles(RunDir(config.run_dir), config.worker)
    if files.schedule.exists():
        return
    steps = transform.parse(list(config.transform), "transform")
    made = schedule.build(
        transform.apply(traces.read(config.trace), steps),
        duration_s=config.duration_s,
        speed=config.speed,
        amplify=config.amplify,
        sessions=config.sessions,
        seed=config.seed,
        jitter_ns=round(config.jitter_ms * MS),
        shard=config.shard,
    )
    schedule.write(made, files.schedule, config.run_id, start_ns)
    begun = int(np.searchsorted(made.offset_ns, lost_ns - start_ns + TICK_NS, side="right"))
    Cursor(files.cursor).move(begun)
