"""Windows over the load's live counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaoslib_ext.ctk.watching import first_good_s, steadiness
from drills.clock import NS
from probes.live import LiveTail, LiveView
from probes.tail import Tail

LIMITS = {"place": 500}


def beats(rates: list[tuple[int, int]], rate: int = 100) -> Iterator[dict[str, Any]]:
    """Lines of 100 ms; each item is (decided, good) of that beat, `rate` are scheduled and sent."""
    scheduled = decided = good = 0
    for beat, (more, fine) in enumerate(rates):
        counts = {"scheduled": scheduled, "sent": scheduled, "ok": decided, "good": good}
        yield {
            "t_ns": beat * NS // 10,
            "state": "running",
            "flows": {"place": counts},
            "p99_ms": 4.0,
            "lag_p99_ms": 1.0,
        }
        scheduled, decided, good = scheduled + rate, decided + more, good + fine


def view(rates: list[tuple[int, int]]) -> LiveView:
    live = LiveView(LIMITS)
    live.add(beats(rates))
    return live


def test_a_healthy_window_is_good() -> None:
    live = view([(100, 100)] * 31)
    window = live.window("place", 2 * NS)
    assert window is not None
    assert (window.scheduled, window.decided, window.good, window.late) == (1000, 1000, 1000, 0)
    assert live.good(["place"], 2 * NS, 0.999)
    assert steadiness(live, 0).steady


def test_operations_without_an_answer_become_bad_after_their_limit() -> None:
    live = view([(100, 100)] * 20 + [(0, 0)] * 11)
    window = live.window("place", 2 * NS)
    assert window is not None
    assert window.late == 500, "ten silent beats, of which the last five are still within 500 ms"
    assert window.share == 0.0
    assert live.share(NS) == pytest.approx(1000 / 1500)


def test_a_window_before_the_first_line_is_unknown() -> None:
    live = view([(100, 100)] * 5)
    assert live.window("place", -1) is None
    assert not live.good(["place"], -1, 0.999)


def test_not_steady_says_why() -> None:
    assert steadiness(view([(50, 50)] * 30), 0).reason == "500 op/s decided of 1,000 offered"
    assert "good, needs 99.9%" in str(steadiness(view([(100, 98)] * 30), 0).reason)
    assert steadiness(LiveView(LIMITS), 0).reason == "no operation was decided"


def test_first_good_needs_a_silence_before() -> None:
    assert first_good_s(view([(100, 100)] * 20), "place", NS) is None
    live = view([(100, 100)] * 10 + [(0, 0)] * 10 + [(100, 100)] * 5)
    assert first_good_s(live, "place", NS) == pytest.approx(1.1)


def test_tail_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    tail = Tail(path)
    assert tail.read() == []
    path.write_bytes(b'{"a":1}\n{"a"')
    assert tail.read() == [{"a": 1}]
    with path.open("ab") as file:
        file.write(b":2}\nnot json\n[3]\n")
    assert tail.read() == [{"a": 2}]
    tail.close()


def test_live_tail_leaves_out_what_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "live.ndjson"
    lines = [orjson.dumps(line) for line in beats([(100, 100)] * 3)]
    path.write_bytes(b"\n".join([lines[0], b'{"t_ns":"x","state":"running"}', *lines[1:]]) + b"\n")
    live = LiveTail(path, LIMITS)
    live.refresh()
    assert len(live.lines) == 3
