"""What a search writes, prints and draws; and the command line before anything is touched."""

import re
from pathlib import Path

import orjson
import pytest

from chaoslib_ext.cli.main import run as muster
from loadgen.capacity.answer import Question, conclude
from loadgen.capacity.drive import Walk, drive
from loadgen.capacity.record import About, document, save
from loadgen.capacity.search import Terms
from loadgen.capacity.sentences import step_line, table
from loadgen.capacity.step import Outcome
from reports.capacity import svg
from tests.unit.capacity_venue import SLO, MadeUp

ABOUT = About(
    id="20261121T081502Z-7k2m",
    trace="mine",
    sha256="0" * 64,
    environment="sandbox",
    venue_type="sandbox",
    by="speed",
    start=200.0,
    warm_up_s=2.0,
    step_s=8.0,
    repeat=6,
    budget_s=300.0,
    limits_ms={"place": 500},
    services={"engine": "matching-engine"},
)


def found(venue: MadeUp, top: float = 1e6) -> tuple[dict[str, object], Walk]:
    walk = Walk()
    drive(walk, Terms(200, top), 1e4, venue.step, clock=lambda: venue.clock_s)
    question = Question(SLO, 1000.0, top)
    return document(ABOUT, question, walk.steps, conclude(question, walk.steps, walk.ended), walk.ended), walk


def test_the_document_and_its_sentences(tmp_path: Path) -> None:
    data, walk = found(MadeUp(5000, 0.01))
    read = orjson.loads(save(tmp_path, data).read_bytes())
    assert (read["schema_version"], read["ended"], read["answer"]["kind"]) == (1, "searched", "knee")
    assert len(read["steps"]) == len(walk.steps) >= read["knee"]["steps"]
    assert read["knee"]["rate"] <= read["knee"]["held"]
    assert read["components"][0]["service"] == "matching-engine"
    assert [one["multiple"] for one in read["headroom"]] == [1, 10, 20]
    first, way, headroom, *_ = read["answer"]["sentences"]
    expected = r"The knee of mine on sandbox is 4,\d{3} op/s \(95 % interval [\d,]+ to [\d,]+, \d+ steps\): so far "
    assert re.match(expected, first)
    assert way.startswith("What gave way first: engine, which used ")
    assert "×1 (1,000 op/s) held, knee/rate 4." in headroom
    assert "×20 (20,000 op/s) not held, knee/rate 0.2" in headroom
    assert "extrapolated" in headroom


def test_words_where_there_is_no_knee() -> None:
    at_least, _ = found(MadeUp(50_000), top=3000)
    assert at_least["answer"]["sentences"][0].startswith("At least: p99=20ms,good=99.9% holds for mine on sandbox")  # type: ignore[index]
    gave_out, _ = found(MadeUp(50_000, late_from=1000))
    said = gave_out["answer"]["sentences"][0]  # type: ignore[index]
    assert said.startswith("Inconclusive: ")
    assert "the generator gave out first, at 1,0" in said
    below, _ = found(MadeUp(300))
    assert below["answer"]["sentences"][0].startswith("Inconclusive: no knee of mine")  # type: ignore[index]


def test_the_table_and_the_lines() -> None:
    _, walk = found(MadeUp(5000, 0.01))
    lines = table(walk.steps, ["engine", "nobody"])
    assert len(lines) == len(walk.steps) + 1
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[-5:] == ["engine", "nobody", "load", "machine", "outcome"]
    broke = next(step for step in walk.steps if step.outcome is Outcome.BROKE)
    assert f"{broke.offered:,.0f} op/s" in step_line(broke)
    assert "broke: p99 " in step_line(broke)


@pytest.mark.parametrize(
    "venue", [MadeUp(5000, 0.01), MadeUp(300), MadeUp(50_000, late_from=3000)], ids=["knee", "below", "late"]
)
def test_the_figure_of_any_search(venue: MadeUp) -> None:
    data, _ = found(venue)
    drawn = svg(data)
    assert drawn.startswith("<svg ")
    assert "offered operations / s" in drawn
    assert ("knee 4," in drawn) == (data["knee"] is not None)
    assert "objective p99 20 ms" in drawn
    for step in data["steps"]:  # type: ignore[attr-defined]
        step["usage"]["components"] = {}
    assert "cores used" not in svg(data)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no such trace"),
        (["linear-perp-1m", "--slo", "p99=fast"], "--slo: p99"),
        (["linear-perp-1m", "--step-for", "0.1s"], "at least 1s"),
        (["linear-perp-1m", "--from", "500", "--to", "400"], "--from 500 is more than --to 400"),
        (["linear-perp-1m", "--by", "amplify", "--to", "90000"], "by amplify this trace"),
        (["linear-perp-1m", "--workers", "17"], "only 16 sessions"),
        (["linear-perp-1m", "-e", "nowhere"], 'no environment "nowhere"'),
        (["linear-perp-1m", "--figure", "/no/such/folder/f.svg"], "there is no folder"),
    ],
)
def test_bad_use_is_one_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert muster(["capacity", *words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
