"""muster replay: what it refuses before anything starts, and what it prints when all is over."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
import yaml

from chaoslib_ext.cli.main import run
from chaoslib_ext.cli.replay_text import Progress, summary
from chaoslib_ext.supervisor import replaying
from drills.errors import ComponentError, Refused
from loadgen import synth, trace
from loadgen.outcome import KindOutcome, Outcome
from probes.live import LiveView
from tests.unit.test_replay_outcome import line

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sandbox, no load: a command that comes so far has not refused."""

    def started(*rest: object) -> None:
        raise AssertionError("it started something")

    monkeypatch.setattr(replaying, "obtain", started)


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(2, 200, 5), path)
    return path


def staging(folder: Path, **fields: object) -> Path:
    path = folder / "staging.yaml"
    venue = {"type": "bybit-v5", "ws": "wss://staging.example/v5/trade", "key_env": "K", "secret_env": "S"}
    path.write_text(yaml.safe_dump({"environment": "staging", "kind": "staging", "venue": venue, **fields}))
    return path


def refused(output: Output, *words: object) -> tuple[int, str]:
    code = run(["replay", *map(str, words)])
    said = output.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return code, said.err.strip()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "99"], "--workers 99: the load has only 16 sessions to share"),
        (["--for", "5"], '--for: "5" is not a duration; write 5s'),
        (["--for", "0s"], "--for: 0s is no time to play anything; write 60s or 2m"),
        (["--speed", "0"], "Invalid value for '--speed'"),
        (["-e", "nowhere"], 'no environment "nowhere"; write sandbox'),
        (["--image", "x"], "--image names the image of a manifest"),
        (["--manifest", "x.yaml"], "--manifest: pods do not reach the sandbox of this machine"),
        (["--transform", "nowhere.yaml"], "nowhere.yaml: "),
    ],
)
def test_bad_use_is_one_line(flow: Path, capsys: Output, options: list[str], said: str) -> None:
    code, line_ = refused(capsys, flow, *options)
    assert code == 2
    assert said in line_


def test_a_trace_that_is_not_there(capsys: Output) -> None:
    assert refused(capsys, "nowhere")[0] == 2


def test_a_port_in_use_is_told(flow: Path, capsys: Output) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        code, said = refused(capsys, flow, "--web-ui", one.getsockname()[1])
    assert code == 2
    assert "address already in use" in said


def test_production_is_refused(flow: Path, tmp_path: Path, capsys: Output) -> None:
    code, said = refused(capsys, flow, "-e", staging(tmp_path, kind="production"))
    assert code == 5
    assert "is a production environment; nothing was touched" in said


def test_a_replay_where_plans_must_be_approved_is_refused(flow: Path, tmp_path: Path, capsys: Output) -> None:
    code, said = refused(capsys, flow, "-e", staging(tmp_path, policy={"approvals": {"count": 1}}))
    assert code == 5
    assert "the policy of staging asks for approvals" in said


def test_raw_traffic_leaves_only_for_the_sandbox(tmp_path: Path, flow: Path, capsys: Output) -> None:
    raw = tmp_path / "raw.parquet"
    recorded = trace.read(flow)
    trace.write(trace.of("raw", recorded.table, recorded.grid, {}, recorded.duration_ns), raw)
    code, said = refused(capsys, raw, "-e", staging(tmp_path))
    assert code == 5
    assert "not-sanitised" in said


def test_the_sandbox_protocol_is_no_choice_elsewhere(flow: Path, tmp_path: Path, capsys: Output) -> None:
    code, said = refused(capsys, flow, "-e", staging(tmp_path), "--venue-type", "sandbox-binary")
    assert code == 2
    assert "--venue-type chooses how the sandbox is spoken to" in said


def test_an_environment_gives_its_venue_and_what_it_allows(flow: Path, tmp_path: Path) -> None:
    path = staging(tmp_path, policy={"operations": ["withdraw"]})
    environment = replaying.environment_of(str(path))
    venue = replaying.venue_of(environment)
    assert venue["ws"] == ["wss://staging.example/v5/trade"]
    wish = replaying.Wish(str(flow), str(path), load={"workers": 2, "jitter_ms": 5.0})
    config = replaying.config_of(wish, environment, venue, 3.0, tmp_path / "20261121T081502Z-7k2m")
    assert (config.allow, config.workers, config.jitter_ms, config.duration_s) == (("withdraw",), 2, 5.0, 3.0)
    assert config.run_id == "20261121T081502Z-7k2m"


def test_without_a_time_the_trace_plays_once(flow: Path) -> None:
    recorded = trace.read(flow)
    _, seconds = replaying.prepared(replaying.Wish(str(flow), load={"speed": 4.0}))
    assert seconds == pytest.approx(recorded.duration_ns / 1e9 / 4)
    steps = ({"slice": {"from": "0s", "to": "1s"}},)
    assert replaying.prepared(replaying.Wish(str(flow), transform=steps))[1] == pytest.approx(1.0, abs=0.2)


def test_what_the_load_said_is_not_said_twice() -> None:
    assert str(replaying._failure("load: not every session could connect")) == "load: not every session could connect"
    assert str(replaying._failure("x.parquet: no such trace")) == "load: x.parquet: no such trace"
    refusal = replaying._failure("refused: environment: venue x is not on this machine")
    assert isinstance(refusal, Refused)
    assert refusal.code == "environment"
    assert isinstance(replaying._failure("x"), ComponentError)


# -- what is printed ---------------------------------------------------------------------------------------------------

LATENCY: dict[str, float | None] = {"p50_ms": 4.2, "p99_ms": 12.34, "p999_ms": None}
KIND = KindOutcome(1200, 1199, 1190, 1180, 10, 9, LATENCY, LATENCY)


def found(**fields: object) -> Outcome:
    base: dict[str, object] = {
        "run_id": "r", "trace": "flow", "seconds": 5.0, "kinds": {"place": KIND}, "sessions": 16, "connections": 17,
        "workers": 1, "lag_p99_ms": 0.4, "lag_gate_ms": 50.0, "drift_ms": 0.02, "clock_error_ms": 0.0, "held": 0,
        "skipped": 0, "sent_anyway": 0, "left_out": {}, "reasons": (), "notes": (),
    }  # fmt: skip
    return Outcome(**{**base, **fields})  # type: ignore[arg-type]


def test_a_finished_replay_in_words() -> None:
    text = list(summary(found(), "sandbox", Path("runs/x")))
    assert text[0] == "flow on sandbox: 5.0 s, 16 sessions, 17 connections opened"
    assert text[4].split() == [
        "place",
        "1,200",
        "1,199",
        "1,190",
        "1,180",
        "10",
        "9",
        "4.20",
        "12.3",
        "–",
        "4.20",
        "12.3",
        "–",
    ]
    assert text[6] == "send lag  p99 0.40 ms, +0.02 ms from the first tenth to the last"
    assert text[-2:] == ["valid     the figures are the venue's, not the generator's", "evidence  runs/x"]


def test_everything_unusual_is_told() -> None:
    odd = found(held=3, skipped=1, clock_error_ms=1.5, left_out={"read": 7}, reasons=("late", "lost"), notes=("so",))
    text = list(summary(odd, "staging", Path("x")))
    assert "clocks    of the workers known to ±1.50 ms" in text
    assert "orders    3 held, 1 skipped: the order that they name had no id of the venue yet" in text
    assert "left out  7 read: this venue cannot be sent them" in text
    assert text[-4:] == ["note      so", "NOT VALID late", "          lost", "evidence  x"]


def test_progress_is_a_line_a_second() -> None:
    out, view = io.StringIO(), LiveView({})
    progress = Progress(out)
    progress.tick(view)
    view.add([line(0, "starting"), line(10**9, sent=0), line(2 * 10**9, sent=600)])
    progress.tick(view)
    progress.tick(view)
    view.add([line(3 * 10**9, "done", sent=900)])
    progress.say("stopping")
    assert out.getvalue() == "00:00  600 op/s sent, 600 answered, p99 2.00 ms, lag p99 0.10 ms\nstopping\n"
