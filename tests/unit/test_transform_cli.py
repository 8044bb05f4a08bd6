"""`muster trace transform` and `muster trace synth` as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoslib_ext.cli.main import run
from loadgen import synth, trace, transform
from loadgen.sanitise import is_sanitised


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = synth.generate(4, 300, 5)
    trace.write(made, tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


STEPS = """\
- slice: {from: 1s, to: 3s}
- surge: {shape: rate, factor: 2, at: 1s, for: 500ms}
"""


def test_transform_does_the_steps_of_the_file_and_then_those_of_the_line(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("steps.yaml").write_text(STEPS)
    more = ["--step", "surge: {shape: reconnect-storm, at: 1s, share: 20%}", "--step", "rebase: {mid: {BTCUSDT: '50'}}"]
    assert run(["trace", "transform", str(source), "-o", "out.parquet", "--steps", "steps.yaml", *more]) == 0
    made = trace.read("out.parquet")
    assert [next(iter(note)) for note in made.provenance["transformed"]] == ["slice", "surge", "surge", "rebase"]
    assert transform.reconnects(made) == [(1_000_000_000, 0.2)]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("slice: left out ")
    assert said[1].startswith("surge rate: added ")
    assert said[2] == "surge reconnect-storm: done"
    assert said[3].startswith("rebase: BTCUSDT 60")
    assert said[4].startswith("out.parquet: ")


def test_the_steps_may_stand_under_the_key_of_a_load(source: Path) -> None:
    Path("steps.yaml").write_text("transform:\n" + STEPS)
    assert run(["trace", "transform", str(source), "-o", "out.parquet", "--steps", "steps.yaml"]) == 0


def test_what_is_made_of_a_clean_trace_is_clean(source: Path) -> None:
    assert run(["trace", "synth", "-o", "clean.parquet", "--like", str(source), "--seconds", "3"]) == 0
    assert is_sanitised(trace.read("clean.parquet"))
    surge = "surge: {shape: rate, factor: 3, at: 1s, for: 1s}"
    assert run(["trace", "transform", "clean.parquet", "-o", "more.parquet", "--step", surge]) == 0
    assert is_sanitised(trace.read("more.parquet"))
    assert run(["trace", "transform", str(source), "-o", "raw.parquet", "--step", surge]) == 0
    assert not is_sanitised(trace.read("raw.parquet"))


def test_every_mistake_of_the_steps_is_told_at_its_place(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("steps.yaml").write_text("- slice: {form: 1s}\n- surge:\n    shape: rat\n")
    assert run(["trace", "transform", str(source), "-o", "out.parquet", "--steps", "steps.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        'steps.yaml:1:11: transform[0].slice: unknown key "form"; did you mean from?',
        "    1 | - slice: {form: 1s}",
        "      |           ^^^^",
        'steps.yaml:3:12: transform[1].surge.shape: unknown shape "rat"; did you mean rate?',
        "    3 |     shape: rat",
        "      |            ^^^",
    ]
    assert not Path("out.parquet").exists()


def test_synth_says_how_near_it_comes_and_keeps_the_model(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["trace", "synth", "-o", "a.parquet", "--like", str(source), "--model", "m.json", "--seed", "7"]
    assert run(argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["recorded", "made", "within"]
    assert said[-1].startswith("a.parquet: ")
    assert all(line.endswith(("near", "off")) for line in said[1:-1])
    assert run(["trace", "synth", "-o", "b.parquet", "--model", "m.json", "--seed", "7"]) == 0
    assert trace.read("a.parquet").table.equals(trace.read("b.parquet").table)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["transform", "in.parquet", "-o", "x.parquet"], "there is nothing to do; give --steps FILE or --step"),
        (["transform", "in.parquet", "-o", "x.csv", "--step", "{}"], "x.csv: a trace is a .parquet file"),
        (["transform", "none", "-o", "x.parquet", "--step", "slice: {to: 1s}"], "none: no such trace"),
        (["transform", "in.parquet", "-o", "x.parquet", "--steps", "none.yaml"], "none.yaml: cannot be read"),
        (["transform", "in.parquet", "-o", "x.parquet", "--step", "slice: {to: 9m}"], "is after the end of the trace"),
        (["transform", "in.parquet", "-o", "x.parquet", "--step", "slice: {"], "--step:1:9: not YAML"),
        (["transform", "in.parquet", "-o", "x.parquet", "--step", "5"], "--step:1:1: transform: 5 is not a list"),
        (["synth", "-o", "x.parquet"], "there is nothing to be like; give --like TRACE or --model FILE"),
        (["synth", "-o", "x.parquet", "--like", "in.parquet", "--seconds", "5x"], '--seconds: "5x" is not a duration'),
        (["synth", "-o", "x.parquet", "--model", "none.json"], "none.json: cannot be read: no such file"),
    ],
)
@pytest.mark.usefixtures("source")
def test_mistakes_are_told_and_exit_2(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", *argv]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert not Path("x.parquet").exists()
