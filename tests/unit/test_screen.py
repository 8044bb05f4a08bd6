"""What a person reads of a run: one line an event, and the verdict block."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from chaoslib_ext.screen import PlainScreen, clock
from drills.clock import NS, FakeClock
from drills.events import EventLog, Kind

STREAM: list[tuple[float, Kind, dict[str, Any]]] = [
    (0.0, Kind.RUN_STARTED, {"drill": "d", "environment": "sandbox", "plan_hash": "3f9c21e1aa", "run_id": "R"}),
    (0.0, Kind.CHECK, {"text": "1 fault, 2 objectives, 1 guard; target engine-0 (primary, tyo-a)"}),
    (4.0, Kind.GUARD_SELF_TEST, {"stopped_ms": 41.2}),
    (4.1, Kind.LEADER, {"instance": "engine-0", "epoch": 1, "t_ns": 1, "first": True}),
    (24.3, Kind.BASELINE, {"steady": True, "rate": 1204.3, "good": 1.0, "p99_ms": 4.13, "reason": None}),
    (24.3, Kind.FAULT_INTENT, {"fault_id": "engine-dies", "fault": "process.kill", "targets": ["engine-0"]}),
    (24.3, Kind.FAULT_IN_EFFECT, {
        "fault_id": "engine-dies", "issued_ns": NS, "effect_ns": NS + 3_000_000, "describe": "SIGKILL engine-0",
        "witnesses": ["pid 7 is gone", "port refuses"],
    }),
    (24.4, Kind.DETECTED, {"text": "engine-leader: engine-0 is gone after 0.08 s"}),
    (25.5, Kind.LEADER, {"instance": "engine-1", "epoch": 2, "t_ns": 2, "first": False}),
    (36.5, Kind.PHASE_ENDED, {"phase": "recover", "index": 3, "result": "ok", "text": "good for 10 s"}),
    (36.6, Kind.PHASE_ENDED, {"phase": "detect", "index": 2, "result": "missed", "text": "nothing within 10 s"}),
    (40.0, Kind.FAULT_ORPHANED, {"fault_id": "cut", "by_hand": ["curl -X POST http://x"]}),
    (75.0, Kind.CLEANUP, {"clean": False, "left": ["link a>b has toxic t"], "intended": []}),
]  # fmt: skip

EXPECTED = """\
d on sandbox · plan 3f9c21e1 · run R
00:00.0  check      1 fault, 2 objectives, 1 guard; target engine-0 (primary, tyo-a)
00:04.0  guards     self-test: a made-up breach and a made-up silence stopped in 41 ms
00:24.3  baseline   steady: 1,204 op/s, 100.00% good, p99 4.1 ms
00:24.3  inject     engine-dies: SIGKILL engine-0, in effect after 3 ms (pid 7 is gone, and 1 more)
00:24.4  detect     engine-leader: engine-0 is gone after 0.08 s
00:25.5  recover    engine-1 leads with epoch 2
00:36.5  recover    good for 10 s
00:36.6  detect     missed: nothing within 10 s
00:40.0  restore    cut: NOT UNDONE; by hand: curl -X POST http://x
01:15.0  clean-up   left behind: link a>b has toxic t
"""


def test_one_line_an_event(tmp_path: Path) -> None:
    fake, out = FakeClock(), io.StringIO()
    log = EventLog(tmp_path / "events.ndjson", fake)
    log.subscribe(PlainScreen(0, out).handle)
    for at, kind, data in STREAM:
        fake.advance(at - fake.monotonic_ns() / NS)
        log.emit(kind, **data)
    log.close()
    assert out.getvalue() == EXPECTED


def test_clock() -> None:
    assert [clock(ns) for ns in (0, 999_999_999, 61 * NS, -5)] == ["00:00.0", "00:00.9", "01:01.0", "00:00.0"]
