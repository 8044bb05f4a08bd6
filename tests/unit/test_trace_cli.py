"""`muster trace` as people type it: what it prints, where, and with which exit code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaoslib_ext.cli.main import run
from chaoslib_ext.world import World
from loadgen import record, trace
from loadgen.builder import Row, build
from loadgen.sanitise import is_sanitised

SAMPLE = Path(__file__).parent.parent / "data" / "bybit-ws-sample.txt"


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """A recording with two requests and a secret in each."""
    path = tmp_path / "requests.gor"
    body = b'{"symbol":"BTCUSDT","memo":"for Alice"}'
    path.write_bytes(
        b"1 0a0b0c0d0e0f 1700000000000000000\nPOST /v5/alice/frobnicate HTTP/1.1\r\nCookie: a=b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
        + "\n🐵🙈🙉\n".encode()
        + b"1 0a0b0c0d0e10 1700000001000000000\nGET /v5/market/time HTTP/1.1\r\nCookie: a=b\r\n\r\n"
        + "\n🐵🙈🙉\n".encode()
    )
    return path


# -- import ------------------------------------------------------------------------------------------------------------


def test_import_counts_what_it_made_and_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sample.parquet"
    assert run(["trace", "import", "--from", "bybit-ws", str(SAMPLE), "-o", str(out), "--sessions", "4"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 5 place, 4 cancel, 1 amend in ")
    assert said.out.count("\n") == 1
    assert said.err.splitlines() == [
        "recorded from 2023-11-14 22:13:20 UTC to 2023-11-14 22:13:29 UTC",
        "skipped 2 lines: sent by the client (line 1, 2)",
        "skipped 1 line: answer to the client's own request (line 3)",
        "skipped 1 line: before the first snapshot of its symbol (line 4)",
        "corrupt: 1 line (line 11)",
        'skipped 1 line: topic "instrument_info.100ms.ABCUSDT" is neither trades nor an L2 book (line 13)',
        "sanitised: names became pseudonyms, no leak in 30 strings",
    ]
    assert trace.read(out).rows == 10


def test_import_tells_the_format_by_itself(tmp_path: Path) -> None:
    out = tmp_path / "sample.parquet"
    assert run(["trace", "import", str(SAMPLE), "-o", str(out)]) == 0
    assert trace.read(out).provenance["from"] == "bybit-ws"


def test_an_import_is_sanitised_and_says_what_was_taken_out(
    requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.parquet"
    assert run(["trace", "import", str(requests), "-o", str(out)]) == 0
    assert capsys.readouterr().err.splitlines()[1:] == [
        "sanitised: names became pseudonyms, no leak in 4 strings",
        "renamed 2 × part of a path",
        "dropped 1 × body memo",
    ]
    assert is_sanitised(trace.read(out))
    assert "file" not in trace.read(out).provenance


def test_a_word_of_a_path_is_kept_on_request(requests: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    assert run(["trace", "import", str(requests), "-o", str(out), "--keep", "frobnicate"]) == 0
    path = orjson.loads(trace.read(out).column("payload")[0].as_py())["path"]
    assert path.endswith("/frobnicate")
    assert "alice" not in path


def test_a_raw_import_keeps_everything_and_says_so(
    requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.parquet"
    assert run(["trace", "import", str(requests), "-o", str(out), "--raw"]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "not sanitised: everything was kept, and the trace plays only against the sandbox"
    assert b"for Alice" in trace.read(out).column("payload")[0].as_py()
    assert not is_sanitised(trace.read(out))


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["import", "--from", "csw", str(SAMPLE), "-o", "x.parquet"], 'no importer "csw"; known: bybit-ws'),
        (["import", "--from", "bybit-ws", "none.txt", "-o", "x.parquet"], "none.txt: no such file"),
        (["import", "--from", "bybit-ws", str(SAMPLE), "-o", "x.csv"], "x.csv: a trace is a .parquet file"),
        (["import", "--from", "bybit-ws", str(SAMPLE), "-o", "no/x.parquet"], "no/x.parquet: no folder no"),
        (["import", str(SAMPLE), "-o", "x.parquet", "--sessions", "0"], "0 is not in the range"),
        (["import", str(SAMPLE), "-o", "x.parquet", "--keep", "a@b.example"], '--keep: "a@b.example" is not a word'),
        (["import", str(SAMPLE), "-o", "x.parquet", "--keep", "a", "--raw"], "--keep says what the sanitiser leaves"),
        (["import", __file__, "-o", "x.parquet"], "cannot tell its format; name it with --from: bybit-ws, "),
        (["record", "-o", "x.parquet", "--for", "5"], '--for: "5" is not a duration'),
        (["info", "none"], "none: no such trace; write a path or a bundled name (linear-perp-1m)"),
        (["info", str(SAMPLE)], "is not a Parquet file; import or record it again"),
        (["scan", "none"], "none: no such trace"),
        (["export", "none", "-o", "x.gor"], "none: no such trace"),
        (["export", "linear-perp-1m", "-o", "x.pcap"], "x.pcap: name a format: gor, har, jsonl"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    argv: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["trace", *argv]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


# -- export ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["gor", "har", "jsonl"])
def test_an_export_imports_again(
    format_: str, requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out, again = tmp_path / "x.parquet", tmp_path / f"x.{format_}", tmp_path / "y.parquet"
    run(["trace", "import", str(requests), "-o", str(made)])
    capsys.readouterr()
    assert run(["trace", "export", str(made), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 2 operations, ")
    assert said.err == ""
    assert run(["trace", "import", str(out), "-o", str(again)]) == 0
    assert trace.read(again).column("op").to_pylist() == ["request", "read"]


def test_an_export_of_a_raw_trace_says_what_it_holds(
    requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out = tmp_path / "x.parquet", tmp_path / "x.jsonl"
    run(["trace", "import", str(requests), "-o", str(made), "--raw"])
    capsys.readouterr()
    assert run(["trace", "export", str(made), "-o", str(out)]) == 0
    said = capsys.readouterr().err
    assert said == f"{made} is not sanitised: what it holds of customers is in {out} too\n"


# -- info --------------------------------------------------------------------------------------------------------------


def test_info_of_the_bundled_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "info", "linear-perp-1m", "-o", "json"]) == 0
    facts = orjson.loads(capsys.readouterr().out)
    assert facts["sessions"] == 16
    assert sum(facts["operations"].values()) == trace.read("linear-perp-1m").rows
    assert facts["symbols"]["BTCUSDT"]["tick"] == "0.1"
    assert facts["provenance"]["from"] == "sandbox"
    assert run(["trace", "info", "linear-perp-1m"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "linear-perp-1m"]
    assert "  BTCUSDT: operations " in next(line for line in lines if line.startswith("symbols"))


def test_info_shows_what_was_sanitised(requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.parquet"
    run(["trace", "import", str(requests), "-o", str(out)])
    capsys.readouterr()
    assert run(["trace", "info", str(out)]) == 0
    said = capsys.readouterr().out
    assert "\nsanitised       version: 1\n" in said
    assert "dropped: body memo 1\n" in said
    assert "findings: 0\n" in said
    assert "content: sha256:" in said
    run(["trace", "import", str(requests), "-o", str(out), "--raw"])
    capsys.readouterr()
    assert run(["trace", "info", str(out)]) == 0
    assert "\nsanitised       no: it is not sanitised; only for the sandbox\n" in capsys.readouterr().out


def test_info_does_not_believe_a_manifest_of_another_trace(
    requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, forged = tmp_path / "x.parquet", tmp_path / "y.parquet"
    run(["trace", "import", str(requests), "-o", str(clean)])
    run(["trace", "import", str(requests), "-o", str(forged), "--raw"])
    raw, manifest = trace.read(forged), trace.read(clean).provenance
    trace.write(trace.of("y", raw.table, raw.grid, manifest, raw.duration_ns), forged)
    capsys.readouterr()
    assert run(["trace", "info", str(forged)]) == 0
    assert "no: it was changed after it was sanitised; only for the sandbox\n" in capsys.readouterr().out
    assert run(["trace", "scan", str(forged)]) == 1


# -- scan --------------------------------------------------------------------------------------------------------------


def test_a_scan_of_a_sanitised_trace_ends_well(
    requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.parquet"
    run(["trace", "import", str(requests), "-o", str(out)])
    capsys.readouterr()
    assert run(["trace", "scan", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: ")
    assert said.endswith(" different strings, no kinds of leak; sanitised, and unchanged since\n")


def test_a_scan_names_what_it_finds_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        Row(n, 0, name, "place", "BTCUSDT", "Buy", "Limit", "GTC", 100, 100, f"c{n}")
        for n, name in enumerate(["acct-0", "10.0.0.5", "10.0.0.6"])
    ]
    out = tmp_path / "x.parquet"
    trace.write(build("x", rows, {"file": "alice@mail.example"}), out)
    assert run(["trace", "scan", str(out)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: IPv4 address in account, row 1, and 1 more",
        f"{out}: e-mail address in provenance",
        f"{out}: 14 different strings, 2 kinds of leak; is not sanitised: only for the sandbox",
    ]


# -- record ------------------------------------------------------------------------------------------------------------


def test_a_recording_of_the_sandbox_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Up:
        describe: dict[str, Any] = {"venue": {}}  # noqa: RUF012 - a stand-in

    rows = [Row(n, 0, "acct-0", "place", "BTCUSDT", "Buy", "Limit", "GTC", 100, 100, f"c{n}") for n in range(3)]
    made = build("x", rows, {"from": "sandbox", "commands": 3})
    monkeypatch.setattr(World, "embedded", Up)
    monkeypatch.setattr(record, "record", lambda *args: (made, Counter({"repeated attempt": 2})))
    out = tmp_path / "x.parquet"
    assert run(["trace", "record", "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 3 place in ")
    assert said.err == "left out 2: repeated attempt\n"
    assert is_sanitised(trace.read(out))
