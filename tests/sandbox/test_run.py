"""`muster run` on the real sandbox: the whole way, and every bad day that leaves a process, a fault or a lie behind.

Two whole drills are run, one as built and one with a weakness planted; what they say is held against the sandbox's own
truth log, what they leave against every secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from benchmarks.truthrule import compare
from drills import ledger
from drills.events import Kind, read_events
from drills.evidence import sha256_file
from drills.ledger import State
from tests.sandbox.desk import Desk, Drilled, drilled, verdict_of
from tests.secrets import packed, plain, secrets_of, spellings

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "matching-engine" / "kill-primary.yaml"
OF_THE_MACHINE = {"load-late", "load-not-offered", "baseline-not-steady"}
"""Causes that a busy machine gives a run; they weaken its times, not its counts."""
TRIES = 4


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a sandbox that is up for all tests of this module but the last one."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    assert made.run("sandbox", "up") == 0, made.err
    try:
        yield made
    finally:
        made.run("sandbox", "down")


@pytest.fixture
def settled(desk: Desk) -> Iterator[Desk]:
    """The same, with every instance ready and nothing open."""
    desk.settle()
    yield desk
    desk.stop()


@pytest.fixture(scope="module")
def clean(desk: Desk) -> Drilled:
    """A whole drill in which the primary was killed; another one was tried while it went on."""

    def another() -> None:
        second = desk.muster("run", "quick.yaml")
        assert second.returncode == 5
        assert second.stderr.startswith("refused: scope-locked: ")

    for _ in range(TRIES):
        desk.settle()
        found = drilled(desk, meanwhile=another)
        if found.steady:
            return found
    pytest.fail(f"no baseline was steady in {TRIES} runs")


def test_a_whole_drill_and_what_it_leaves(clean: Drilled) -> None:
    run, verdict = clean.run, clean.verdict
    assert (verdict["outcomes"]["injection"], verdict["outcomes"]["cleanup"]) == ("passed", "passed"), clean.err
    # a machine that is too busy for its own generator says so; it never says failed
    assert clean.code == {"passed": 0, "inconclusive": 3}[verdict["verdict"]], clean.out
    assert clean.out.splitlines()[1].startswith(verdict["verdict"].upper())
    events = list(read_events(run.events))
    assert events[0].kind is Kind.RUN_STARTED
    assert events[-1].kind is Kind.RUN_ENDED
    assert [entry.state for entry in ledger.read(run.ledger).entries] == [State.VERIFIED]
    manifest = orjson.loads(run.manifest.read_bytes())["files"]
    assert {
        "plan.json",
        "events.ndjson",
        "journal.json",
        "witness.parquet",
        "report.html",
        "junit.xml",
    } <= manifest.keys()
    assert all(sha256_file(run.path / name) == one["sha256"] for name, one in manifest.items())
    assert not clean.desk.ours("chaoslib_ext")
    assert clean.desk.ours("sandbox.node"), "a sandbox that was up stays up"


def test_a_clean_kill_loses_nothing_and_says_so(clean: Drilled) -> None:
    found, verdict = compare(clean.run.path), clean.verdict
    assert found.acked > 1000
    assert found.true_lost_ids == frozenset()
    assert found.rpo_exact
    assert found.acked_unread == 0, "no gateway died, so every answer was read"
    assert found.audit_matches, "the audit holds exactly what the engines committed"
    assert verdict["rpo"]["lost"] == 0
    assert clean.objectives["no-loss"] == clean.objectives["one-writer"] == "passed"
    assert verdict["findings"] == []
    assert clean.causes <= OF_THE_MACHINE
    assert verdict["verdict"] == ("inconclusive" if clean.causes else "passed")


def test_the_spellings_find_a_planted_secret() -> None:
    secret = hashlib.sha256(b"x").hexdigest().encode()
    for skip in range(4):
        text = base64.b64encode(b"abc"[:skip] + secret + b"tail")
        assert any(one in text for one in spellings(secret)), skip
    assert any(one in b"..." + bytes.fromhex(secret.decode()) for one in spellings(secret))


def test_no_secret_is_in_what_a_run_leaves(clean: Drilled, tmp_path: Path) -> None:
    desk, run = clean.desk, clean.run
    archive = tmp_path / "packed.tar.gz"
    assert desk.muster("runs", "export", str(run.path), "-o", str(archive)).returncode == 0
    told = [desk.muster(*words) for words in (("plan", "-o", "json", "quick.yaml"), ("compile", "quick.yaml"))]
    assert [one.returncode for one in told] == [0, 0]
    accounts = sorted(set(pq.read_table(run.witness, columns=["session"])["session"].to_pylist()))
    assert len(accounts) > 1
    described = desk.describe()
    box, kept = Path(described["dir"]), Path(described["secret_file"])
    secrets = secrets_of(kept.read_bytes().strip(), accounts)
    files = [path for folder in (run.path, desk.home) for path in folder.rglob("*") if path.is_file() and path != kept]
    names = {"events.ndjson", "ledger.ndjson", "journal.json", "plan.json", "report.html", "load.log", "config.json"}
    assert names <= {path.name for path in files}
    assert any(path.parent == box / "logs" for path in files)
    said = "".join((clean.out, clean.err, *(one.stdout + one.stderr for one in told))).encode()
    texts = [*((str(path), plain(path)) for path in files), *packed(archive), ("what was said", said)]
    assert [name for name, text in texts if any(secret in text for secret in secrets)] == []


def test_nothing_can_be_planted_in_a_sandbox_that_is_up(settled: Desk) -> None:
    assert settled.run("run", "quick.yaml", "--plant", "W01") == 5
    assert settled.err.startswith("refused: sandbox-up: ")


@pytest.mark.parametrize(
    ("victim", "by"), [("ctk.runner", "runner"), ("probes.sampler", "sampler"), ("locust", "load")]
)
def test_a_killed_child_aborts_and_everything_is_undone(settled: Desk, victim: str, by: str) -> None:
    desk = settled
    process = disturbed(desk)
    for one in desk.ours(victim):
        one.kill()
    assert process.wait(60) == 4, desk.err
    assert any(line.split("  ")[1:3] and f"{by}: " in line and "abort" in line for line in desk.err.splitlines()), (
        desk.err
    )
    assert verdict_of(desk.last_run())["verdict"] == "aborted"
    assert [entry.state for entry in ledger.read(desk.last_run().ledger).entries] == [State.VERIFIED]
    assert not desk.ours("chaoslib_ext")


def disturbed(desk: Desk) -> subprocess.Popen[bytes]:
    """A run whose fault is in effect; anew where the machine was too busy for a steady baseline."""
    for _ in range(TRIES):
        process = desk.start("run", "short.yaml")
        desk.until(lambda process=process: "in effect" in desk.err or process.poll() is not None)  # type: ignore[misc]
        if "in effect" in desk.err:
            return process
        assert "baseline   not steady" in desk.err, desk.err
    pytest.fail(f"no baseline was steady in {TRIES} runs")


def test_a_killed_guardian_is_replaced_and_ctrl_c_still_undoes(settled: Desk) -> None:
    desk = settled
    process = disturbed(desk)
    for one in desk.ours("chaoslib_ext.guardian"):
        one.kill()
    desk.until(lambda: "a new one took over its ledger" in desk.err)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, desk.err
    assert [entry.state for entry in ledger.read(desk.last_run().ledger).entries] == [State.VERIFIED]
    assert not desk.ours("chaoslib_ext")


def test_a_killed_supervisor_is_undone_within_half_a_second(settled: Desk) -> None:
    desk = settled
    process = disturbed(desk)
    killed_ns = time.monotonic_ns()
    process.kill()
    process.wait()
    run = desk.last_run()
    desk.until(lambda: not ledger.read(run.ledger).open(), within_s=20)
    undone_ns = ledger.read(run.ledger).entries[0].undone_ns
    assert undone_ns is not None
    assert undone_ns - killed_ns < 500_000_000
    desk.until(
        lambda: not desk.ours("chaoslib_ext") and not desk.ours("locust") and not desk.ours("probes."), within_s=20
    )


def test_the_experiment_under_plain_chaos_run(settled: Desk) -> None:
    desk = settled
    done = desk.aside("-c", "from chaostoolkit.__main__ import cli; cli()", "run", str(EXPERIMENT))
    assert done.returncode == 0, done.stderr
    assert orjson.loads((desk.path / "journal.json").read_bytes())["status"] == "completed"
    (book,) = (desk.home / "chaos").glob("*/ledger.ndjson")
    assert [entry.state for entry in ledger.read(book).entries] == [State.VERIFIED]
    assert not desk.ours("chaoslib_ext")


def test_an_embedded_sandbox_with_a_weakness_is_found_out_and_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(TRIES):  # W01 loses nothing where the kill falls right on a write
        weak = drilled(desk, "--plant", "W01", "-o", "json")
        assert not desk.ours()
        if weak.steady and (found := compare(weak.run.path)).true_lost_ids:
            break
    else:
        pytest.fail(f"nothing was lost in {TRIES} runs")
    run, verdict = weak.run, weak.verdict
    assert weak.code == 1, weak.err
    assert json.loads(weak.out) == verdict
    blind = [run.plan, run.events, run.verdict, run.report, run.path / "environment.json", run.journal]
    assert not any(b"W01" in path.read_bytes() for path in blind)

    assert verdict["rpo"]["lost"] == len(found.true_lost_ids) > 0, "every one that was lost is counted, and no other"
    assert found.lost_ids == found.true_lost_ids
    assert found.rpo_exact
    assert found.acked_unread == 0
    assert found.audit_matches
    assert weak.objectives["no-loss"] == "failed"
    assert verdict["verdict"] == "failed"
    assert ("ack-before-replicate", "matching-engine") in weak.findings
    assert set(verdict["rpo"]["examples"]["lost"]) <= found.true_lost_ids
