"""The truth log: whole lines, one write each, appended across openings."""

from pathlib import Path

import orjson
import pytest

from sandbox.truth.log import TruthLog


def test_appends_whole_lines_across_openings(tmp_path: Path) -> None:
    path = tmp_path / "truth" / "engine-0.ndjson"
    first = TruthLog(path)
    first.append([{"t_ns": 1, "e": "start"}, {"t_ns": 2, "e": "lead"}])
    first.close()
    second = TruthLog(path)
    second.append([{"t_ns": 3, "e": "start"}])
    assert [orjson.loads(line)["t_ns"] for line in path.read_bytes().splitlines()] == [1, 2, 3]
    second.close()


def test_an_append_is_on_file_at_once(tmp_path: Path) -> None:
    log = TruthLog(tmp_path / "x.ndjson")
    log.append([])
    assert log.path.read_bytes() == b""
    log.append([{"a": 1}])
    assert log.path.read_bytes() == b'{"a":1}\n'
    log.close()


def test_a_closed_log_refuses(tmp_path: Path) -> None:
    log = TruthLog(tmp_path / "x.ndjson")
    log.close()
    log.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        log.append([{"a": 1}])
