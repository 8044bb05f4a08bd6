"""`muster trace` as people type it: what it prints, where, and with which exit code."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from chaoslib_ext.cli.main import run
from loadgen import trace

SAMPLE = Path(__file__).parent.parent / "data" / "bybit-ws-sample.txt"


def test_import_counts_what_it_made_and_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sample.parquet"
    assert run(["trace", "import", "--from", "bybit-ws", str(SAMPLE), "-o", str(out), "--sessions", "4"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 5 place, 4 cancel, 1 amend in ")
    assert said.err.splitlines() == [
        "skipped 2 lines: sent by the client (line 1, 2)",
        "skipped 1 line: answer to the client's own request (line 3)",
        "skipped 1 line: before the first snapshot of its symbol (line 4)",
        "corrupt: 1 line (line 11)",
        'skipped 1 line: topic "instrument_info.100ms.ABCUSDT" is neither trades nor an L2 book (line 13)',
    ]
    assert trace.read(out).table.num_rows == 10


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["import", "--from", "csv", str(SAMPLE), "-o", "x.parquet"], 2, 'no importer "csv"; known: bybit-ws'),
        (["import", "--from", "bybit-ws", "none.txt", "-o", "x.parquet"], 2, "none.txt: no such file"),
        (["import", "--from", "bybit-ws", str(SAMPLE), "-o", "x.csv"], 2, "x.csv: a trace is a .parquet file"),
        (["import", "--from", "bybit-ws", str(SAMPLE), "-o", "no/x.parquet"], 2, "no/x.parquet: no folder no"),
        (
            ["import", "--from", "bybit-ws", str(SAMPLE), "-o", "x.parquet", "--sessions", "0"],
            2,
            "0 is not in the range",
        ),
        (["record", "-o", "x.parquet", "--for", "5"], 2, '--for: "5" is not a duration'),
        (["info", "none"], 2, "none: no such trace; write a path or a bundled name (linear-perp-1m)"),
        (["info", str(SAMPLE)], 2, "is not a Parquet file; import or record it again"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    argv: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["trace", *argv]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_info_of_the_bundled_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "info", "linear-perp-1m", "-o", "json"]) == 0
    facts = orjson.loads(capsys.readouterr().out)
    assert facts["sessions"] == 16
    assert sum(facts["operations"].values()) == trace.read("linear-perp-1m").table.num_rows
    assert facts["symbols"]["BTCUSDT"]["tick"] == "0.1"
    assert facts["provenance"]["from"] == "sandbox"
    assert run(["trace", "info", "linear-perp-1m"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "linear-perp-1m"]
    assert "  BTCUSDT: operations " in next(line for line in lines if line.startswith("symbols"))
