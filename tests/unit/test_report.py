"""The report: one self-contained page that says what the verdict says, whatever the run was like."""

from __future__ import annotations

import re
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from chaoslib_ext.cli.main import run as cli
from chaoslib_ext.judge import evaluate, judge
from drills.errors import ComponentError, UsageError
from drills.evidence import RunDir
from drills.history import history
from drills.verdict import differences, read_verdict
from reports import write_report
from reports.export import export_run
from reports.figures import Frame, Label, grouped, timeline
from reports.history import find_run, list_runs
from reports.series import buckets, gaps, width_for
from tests.golden import GOLDEN
from tests.runs import MS, NS, RUN_ID, Spec, build
from tests.tables import operation, witness_table

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checker(HTMLParser):
    """Notes what is loaded from elsewhere, and tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "action") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def page_of(tmp_path: Path, **figures: Any) -> str:  # noqa: ANN401 - fields of Spec
    path = build(tmp_path, Spec(**figures))
    judge(path)
    return write_report(path).read_text()


def test_the_page_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    checker = Checker()
    checker.feed(page)
    assert (checker.open, checker.loads) == ([], [])
    assert len(checker.ids) == len(set(checker.ids))
    assert "<script" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page


def test_the_page_says_what_the_verdict_says(tmp_path: Path) -> None:
    page = page_of(tmp_path, lost=23)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ")
    assert "23 were lost" in text
    assert "ack-before-replicate" in text
    assert "✕" in page
    assert text.index("failed") < text.index("23 were lost") < text.index("What clients saw")
    for heading in (
        "Where the time went",
        "Objectives",
        "What was lost",
        "Weaknesses",
        "Faults and clean-up",
        "The run",
    ):
        assert heading in text
    for word in ("offered", "answered", "p50", "p99", "T0 fault", "T7 redundancy back"):
        assert word in text
    assert page.count("<figure>") == page.count("</figure>") >= 2
    assert page.count("Table of this figure") == 2, "every plot has its table"


@pytest.mark.parametrize(
    "figures",
    [
        {"injected": False, "aborted": "Ctrl-C"},
        {"never_back": True, "after_s": 25.0},
        {"audit": "missing", "probes": False},
        {"orphaned": True, "rate": 20.0},
    ],
    ids=str,
)
def test_a_page_for_every_kind_of_run(tmp_path: Path, figures: dict[str, Any]) -> None:
    page = page_of(tmp_path, **figures)
    Checker().feed(page)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).lower().replace("finance", "")
    assert ">None<" not in page


def test_a_run_without_a_witness_has_a_page_that_says_no_data(tmp_path: Path) -> None:
    path = build(tmp_path, Spec())
    RunDir(path).witness.unlink()
    judge(path)
    assert "no data" in write_report(path).read_text()


def test_what_a_stranger_wrote_is_escaped(tmp_path: Path) -> None:
    page = page_of(tmp_path, aborted="<script>alert(1)</script>", after_s=1.0)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_buckets_lose_no_outlier_and_know_no_data_from_zero() -> None:
    rows = [operation(n, n * 10 * MS) for n in range(200)]
    rows[55]["answered_ns"] += 900 * MS
    for row in rows[100:110]:
        row |= {"answered_ns": None, "outcome": "unknown"}
    kept = [row for row in rows if not 1500 * MS <= row["intended_ns"] < 1700 * MS]
    h = history(witness_table(kept))
    series = buckets(h, np.asarray(h.ok), 0, 2 * NS, 0, 0.1)
    assert series.max_ms[5] == pytest.approx(901)
    assert series.p50_ms[5] == pytest.approx(1)
    assert series.good[10] == 0
    assert np.isnan(series.p50_ms[10])
    assert series.unanswered[10] == 10
    assert np.isnan(series.good[15:17]).all()
    assert np.allclose(gaps(series.good, series.start_s, 0.1), [(1.5, 1.7)])
    wide = buckets(h, np.asarray(h.ok), 0, 2 * NS, 0, 1.0)
    assert (wide.good_low[1], wide.answered_low[1]) == (0, 0), "the worst 0.1 s inside is kept"
    assert wide.max_ms[0] == pytest.approx(901)


def test_a_gap_is_drawn_with_the_words() -> None:
    rows = [operation(n, n * 10 * MS) for n in range(300) if not 100 <= n < 200]
    h = history(witness_table(rows))
    series = buckets(h, np.asarray(h.ok), 0, 3 * NS, 0, 0.1)
    spec = timeline(series, Frame((0.0, 3.0), [Label(1.0, "T0 fault")], (1.0, 2.0)), [("place", 500.0)], 0.999)
    assert orjson.dumps(spec).count(b'"no data"') == 2, "good ratio and latency"


def test_labels_of_one_instant_become_one() -> None:
    marks = [Label(0.0, "T0 fault"), Label(2.00, "T2 new lease"), Label(2.04, "T5 good"), Label(9.0, "T7 back")]
    assert [label.text for label in grouped(marks, 20.0)] == ["T0 fault", "T2 T5  2.00–2.04 s", "T7 back"]


def test_width_keeps_the_figure_readable() -> None:
    assert width_for(40) == 0.1
    assert width_for(60) == 0.2
    assert width_for(36_000) == 60.0


# -- golden run ------------------------------------------------------------------------------------------------------


def test_the_golden_run_is_judged_as_it_was() -> None:
    stored = read_verdict(RunDir(GOLDEN).verdict)
    lines = [line for line in differences(stored, evaluate(GOLDEN)) if not line.startswith("versions.")]
    assert lines == [], "look at them, then: python -m tests.golden"
    assert (stored.verdict, stored.rpo.lost, stored.rpo.duplicated) == ("failed", 3, 1)


# -- runs and export -------------------------------------------------------------------------------------------------


def make_runs(tmp_path: Path) -> list[Path]:
    made = []
    for stamp, name in (("20261120T000000Z-aaaa", "one"), ("20261121T000000Z-bbbb", "two")):
        path = build(tmp_path, Spec(rate=600, run_id=stamp, name=name))
        made.append(path)
    judge(made[0])
    (tmp_path / "one" / "latest").symlink_to(made[0].name)
    return made


def test_runs_are_listed_the_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_runs(tmp_path)
    rows = list_runs(tmp_path)
    assert [(row.id[-4:], row.verdict, row.lost) for row in rows] == [
        ("bbbb", "unfinished", None),
        ("aaaa", "passed", 0),
    ]
    RunDir(made[1]).verdict.write_text("{")
    assert list_runs(tmp_path)[0].verdict == "damaged"
    assert cli(["runs", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"passed\s+2\.0\d s\s+0\s+\d+ \w+\s+\S+aaaa", out)
    assert cli(["runs", "--runs", str(tmp_path / "none")]) == 0
    assert "no run under" in capsys.readouterr().err


def test_a_run_is_found_by_path_id_name_or_latest(tmp_path: Path) -> None:
    first, second = make_runs(tmp_path)
    assert find_run(str(first), tmp_path) == first
    assert find_run("aaaa", tmp_path) == first
    assert find_run("20261121", tmp_path) == second
    assert find_run("one", tmp_path) == first
    assert find_run("latest", tmp_path) == second
    with pytest.raises(UsageError, match="is one of 2 runs"):
        find_run("2026", tmp_path)
    with pytest.raises(UsageError, match="did you mean 20261120T000000Z-aaaa"):
        find_run("20261120T000000Z-aaab", tmp_path)


def test_export_keeps_secrets_and_truth_at_home(tmp_path: Path) -> None:
    path = build(tmp_path, Spec(rate=600))
    secret = tmp_path / "master"
    secret.write_bytes(b"\x01\x02-very-secret-bytes")
    (path / "load" / "config.json").write_bytes(orjson.dumps({"venue": {"secret_file": str(secret)}}))
    (path / "truth").mkdir()
    (path / "truth" / "engine-0.ndjson").write_text("{}")
    (path / "secret.key").write_text("x")
    out = tmp_path / "x.tar.gz"
    export_run(path, out)
    with tarfile.open(out) as archive:
        names = archive.getnames()
    assert f"{RUN_ID}/plan.json" in names
    assert f"{RUN_ID}/load/config.json" in names
    assert not [name for name in names if "truth" in name or "secret" in name]
    before = out.read_bytes()
    export_run(path, out)
    assert out.read_bytes() == before
    (path / "logs" / "load.log").write_bytes(b"signing with " + secret.read_bytes())
    with pytest.raises(ComponentError, match=r"logs/load\.log holds the secret"):
        export_run(path, tmp_path / "y.tar.gz")
    assert not (tmp_path / "y.tar.gz").exists()


def test_report_and_export_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = build(tmp_path / "runs", Spec(rate=600))
    assert cli(["report"]) == 0
    captured = capsys.readouterr()
    assert Path(captured.out.strip()).samefile(RunDir(path).report)
    assert "judged" in captured.err
    assert RunDir(path).junit.exists()
    assert cli(["runs", "export", "latest"]) == 0
    assert (tmp_path / f"{RUN_ID}.tar.gz").exists()
    assert cli(["report", "nothing"]) == 2


def test_replays_and_searches_are_no_runs(tmp_path: Path) -> None:
    for name in ("replay-linear", "capacity-linear", "a-drill"):
        (tmp_path / name / "20261121T081502Z-7k2m").mkdir(parents=True)
    assert [row.name for row in list_runs(tmp_path)] == ["a-drill"]
