"""Every mistake that `muster run` can see before it touches anything: one clear line and the right exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoslib_ext import scope
from chaoslib_ext.cli.main import run
from chaoslib_ext.guardian.marker import Marker
from chaoslib_ext.supervisor import run as supervisor
from drills.errors import ExitCode
from loadgen import trace as traces
from tests.unit.definitions import DRILL, write

BUNDLED = "linear-perp-1m"
KILL = "service: matching-engine, role: primary"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a drill, in which no sandbox may be asked for."""

    def touched(*_: object) -> None:
        raise AssertionError("a sandbox was asked for")

    monkeypatch.setattr(supervisor, "obtain", touched)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, DRILL, "ok.yaml")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `muster run` says on stderr; it must be bad use, and nothing on stdout or disk."""
    assert run(["run", *words]) == ExitCode.BAD_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert not Path("runs").exists()
    return err


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("owner:", "ownr:", 'x.yaml:4:1: unknown key "ownr"; did you mean owner?'),
        ("for: 5s", "for: 5", "x.yaml:12:21: phases[0].baseline.for: 5 is not a duration; write 5s"),
        (
            "rto: 10s",
            "rto: 10 parsecs",
            'x.yaml:8:26: objectives[0].rto: "10 parsecs" is not a duration; write 5s, 500ms or 2m',
        ),
        (
            "process.kill",
            "process.kil",
            'x.yaml:10:10: faults.dies: no fault "process.kil"; did you mean process.kill?',
        ),
        (
            "fault: dies",
            "fault: dise",
            'x.yaml:13:21: phases[1].inject.fault: no fault "dise" in this drill; did you mean dies?',
        ),
        (f"trace: {BUNDLED}", "trace: linear-perp-9m", 'x.yaml:6:15: load.trace: "linear-perp-9m": no such trace; '),
        ("drill: small", "drill: [", "x.yaml:"),
    ],
)
def test_a_mistake_of_a_definition_is_named_by_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, line: str
) -> None:
    write(folder, DRILL.replace(right, wrong))
    first, source, caret, *more = refused(capsys, "x.yaml").splitlines()
    assert first.startswith(line)
    assert " | " in source
    assert set(caret.replace("|", "").strip()) == {"^"}
    assert more == []


def test_all_mistakes_come_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, DRILL.replace("owner:", "ownr:").replace("for: 5s", "for: 5"))
    said = refused(capsys, "x.yaml")
    assert "x.yaml:4:1: " in said
    assert "x.yaml:12:21: " in said


def damaged(kind: str) -> bytes:
    whole = traces.resolve(BUNDLED).read_bytes()
    flipped = bytes(byte ^ 0xFF for byte in whole[1000:1400])
    made = {"cut": whole[: len(whole) // 2], "corrupt": whole[:1000] + flipped + whole[1400:]}
    return made.get(kind) or {"empty": b"", "text": b"hello"}[kind]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("cut", "is truncated: its "),
        ("corrupt", "is corrupt: "),
        ("empty", "is empty; "),
        ("text", "is not a Parquet file; "),
    ],
)
def test_a_damaged_trace_is_found_before_anything_starts(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str, why: str
) -> None:
    (folder / "t.parquet").write_bytes(damaged(kind))
    said = refused(capsys, "ok.yaml", "--trace", "t.parquet")
    assert said.startswith(f"t.parquet: {why}")
    assert said.endswith("; import or record it again\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("nope",), 'no drill or experiment "nope"; known: '),
        (("nope.yaml",), "nope.yaml: no such file; "),
        (("ok.yaml", "-e", "nope"), 'no environment "nope"; write sandbox, or the path of a file'),
        (("ok.yaml", "-e", "nope.yaml"), "nope.yaml: no such file; "),
        (("ok.yaml", "-e", "ok.yaml"), "ok.yaml: is a drill, not an environment"),
        (("ok.yaml", "--trace", "nope"), "nope: no such trace; write a path or a bundled name ("),
        (("ok.yaml", "--repeat", "0"), "muster run: Invalid value for '--repeat': 0 is not in the range"),
        (("ok.yaml", "--amplify", "x"), "muster run: Invalid value for '--amplify': 'x' is not a valid integer"),
        (("ok.yaml", "--runs", "ok.yaml"), "muster run: Invalid value for '--runs': "),
        (("ok.yaml", "--runs", "ok.yaml/below"), "--runs ok.yaml/below: not a directory; name another folder"),
        ((), "muster run: Missing argument 'DRILL'; see muster run --help"),
    ],
)
def test_a_command_that_cannot_be_meant(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str) -> None:
    said = refused(capsys, *words)
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_a_command_that_is_none_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rnu"]) == ExitCode.BAD_USE
    assert capsys.readouterr().err == "muster: No such command 'rnu'; did you mean run?; see muster --help\n"


def test_undo_of_a_misspelt_run_is_no_success_while_another_is_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_run = Marker("20261121T081502Z-7k2m", "/nowhere", "", (), (0, 0.0))
    monkeypatch.setattr(scope, "markers", lambda: [open_run])
    assert run(["undo", "20261121T081502Z-7k2n"]) == ExitCode.BAD_USE
    assert "open: 20261121T081502Z-7k2m" in capsys.readouterr().err
    monkeypatch.setattr(scope, "markers", list)
    assert run(["undo", "20261121T081502Z-7k2n"]) == ExitCode.PROVEN
