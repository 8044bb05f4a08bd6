"""check, compile, plan and schema as a person or a script calls them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from chaoslib_ext.cli import plan as plan_command
from chaoslib_ext.cli.main import run
from drills.errors import ExitCode
from tests.unit.definitions import DRILL, write


@pytest.fixture(autouse=True)
def _nothing_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_command, "world_if_up", lambda: None)


def test_check_says_what_each_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, DRILL)
    assert run(["check", str(path)]) == ExitCode.PROVEN
    assert capsys.readouterr() == (f"{path}: ok, drill with 1 fault, 1 objective\n", "")


def test_check_shows_all_mistakes_of_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, DRILL, "a.yaml")
    bad = write(tmp_path, DRILL.replace("10s", "10").replace("linear-perp-1m", "linear-perp-1x"), "b.yaml")
    empty = write(tmp_path, "", "c.yml")
    assert run(["check", str(tmp_path)]) == ExitCode.BAD_USE
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'a.yaml'}: ok, drill with 1 fault, 1 objective\n"
    assert f'{bad}:6:15: load.trace: "linear-perp-1x": no such trace; ' in err
    assert f"{bad}:8:26: objectives[0].rto: 10 is not a duration; write 10s\n" in err
    assert f"{empty}: is empty; see muster schema drill\n" in err
    assert err.endswith("2 of 3 files with mistakes\n")


def test_check_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, DRILL.replace("10s", "10"))
    assert run(["check", "-o", "json", str(path)]) == ExitCode.BAD_USE
    out, err = capsys.readouterr()
    mistake = {"line": 8, "column": 26, "message": "objectives[0].rto: 10 is not a duration; write 10s", "hint": None}
    assert orjson.loads(out) == [{"file": str(path), "ok": False, "kind": None, "errors": [mistake]}]
    assert err == ""


def test_check_without_arguments_finds_the_shipped_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drills").mkdir()
    write(tmp_path / "drills", DRILL, "mine.yaml")
    assert run(["check"]) == ExitCode.PROVEN
    out = capsys.readouterr().out
    assert out.startswith("drills/mine.yaml: ok, drill")
    assert "engine-primary-kill.yaml: ok, drill with 1 fault, 4 objectives\n" in out


def test_check_of_a_folder_without_definitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(tmp_path)]) == ExitCode.BAD_USE
    assert capsys.readouterr().err == f"{tmp_path}: no .yaml, .yml, .json file in this folder\n"


def test_plan_without_a_sandbox_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "engine-primary-kill"]) == ExitCode.PROVEN
    out = capsys.readouterr().out
    assert out.startswith("engine-primary-kill on sandbox · plan ")
    assert "no sandbox is up, so no target was looked up" in out
    assert out.endswith("nothing was touched\n")


def test_plan_as_json_says_that_nothing_was_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "-o", "json", "kill-primary"]) == ExitCode.PROVEN
    plan = orjson.loads(capsys.readouterr().out)
    assert plan["environment"] == {"name": "sandbox", "kind": "embedded", "resolved": False}
    assert len(plan["hash"]) == 64
    assert plan["trace"]["rows"] > 0


@pytest.mark.parametrize("command", ["plan", "compile"])
def test_a_wrong_name_is_one_line_with_the_nearest(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "engine-primary-kil"]) == ExitCode.BAD_USE
    nearest = 'no drill or experiment "engine-primary-kil"; did you mean engine-primary-kill?\n'
    assert capsys.readouterr() == ("", nearest)


def test_what_cannot_be_run_has_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "environment: x\nkind: staging\n")
    assert run(["plan", str(path)]) == ExitCode.BAD_USE
    problem = "is a definition of kind environment; a drill or an experiment can be run"
    assert capsys.readouterr().err == f"{path}: {problem}\n"


def test_compile_prints_an_experiment_and_refuses_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile", "engine-zombie-primary"]) == ExitCode.PROVEN
    assert capsys.readouterr().out.startswith("# engine-zombie-primary, compiled by `muster compile`.")
    assert run(["compile", "kill-primary"]) == ExitCode.BAD_USE
    assert "only a drill is compiled" in capsys.readouterr().err


def test_schema_prints_or_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "sop"]) == ExitCode.PROVEN
    out = capsys.readouterr().out
    assert orjson.loads(out)["title"] == "Sop"
    assert run(["schema", "sop", "--write", str(tmp_path)]) == ExitCode.PROVEN
    assert (tmp_path / "sop.json").read_text(encoding="utf-8") == out
