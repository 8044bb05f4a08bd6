from pathlib import Path

import orjson

from benchmarks.play import _begun


def line(scheduled: int) -> bytes:
    return orjson.dumps({"flows": {"place": {"scheduled": 0}, "cancel": {"scheduled": scheduled}}}) + b"\n"


def test_a_load_has_begun_with_its_first_due_operation(tmp_path: Path) -> None:
    live = tmp_path / "live.ndjson"
    assert not _begun(live)
    live.write_bytes(line(0))
    assert not _begun(live)
    live.write_bytes(line(0) + line(1))
    assert _begun(live)


def test_a_line_that_is_not_whole_says_nothing(tmp_path: Path) -> None:
    live = tmp_path / "live.ndjson"
    live.write_bytes(line(1)[:-1])
    assert not _begun(live)
    live.write_bytes(line(1) + b'{"flo')
    assert _begun(live)
