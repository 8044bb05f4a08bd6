"""`muster run` on the real sandbox: the whole way, and every bad day that leaves a process, a fault or a lie behind."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from drills import ledger
from drills.events import Kind, read_events
from drills.evidence import RunDir, sha256_file
from drills.ledger import State

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

QUICK = """\
drill: quick
title: The primary engine dies
hypothesis: The standby takes over.
owner: trading-core
services: [matching-engine]
load: {trace: linear-perp-1m}
objectives:
  - {id: rto-place, rto: 10s, flow: place}
  - {id: no-loss, rpo: {lost: 0, duplicated: 0, window: 10ms}}
guards:
  - {longest: 3m}
faults:
  engine-dies: {process.kill: {service: matching-engine, role: primary}}
phases:
  - baseline: {for: 2s}
  - inject: {fault: engine-dies}
  - detect: {probe: engine-leader, within: 10s}
  - recover: {until: sustained, within: 60s}
  - restore: {until: redundancy}
"""
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "matching-engine" / "kill-primary.yaml"
PROGRAM = "import sys; from chaoslib_ext.cli.main import main; main()"


class Desk:
    """A folder with a drill, a MUSTER_HOME of its own, and a command line in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.home = path, path / "home"
        (path / "quick.yaml").write_text(QUICK)
        self.env = {**os.environ, "MUSTER_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.path / "err.txt").open("wb") as err, (self.path / "out.txt").open("wb") as out:
            argv = [sys.executable, "-c", PROGRAM, *words]
            return subprocess.Popen(argv, cwd=self.path, env=self.env, stdout=out, stderr=err, start_new_session=True)

    def run(self, *words: str, timeout_s: float = 200) -> int:
        return self.start(*words).wait(timeout_s)

    @property
    def err(self) -> str:
        return (self.path / "err.txt").read_text()

    @property
    def out(self) -> str:
        return (self.path / "out.txt").read_text()

    def last_run(self) -> RunDir:
        return RunDir(max((self.path / "runs").glob("*/*"), key=lambda path: path.stat().st_mtime_ns))

    def until(self, condition: Callable[[], bool], within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.err
            time.sleep(0.01)

    def ours(self, word: str = "") -> list[psutil.Process]:
        """Living processes that were started under this home, by a word of their command line."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.home) in str(process.environ().values()) and process.status() != psutil.STATUS_ZOMBIE:
                    found += [process] if word in " ".join(process.cmdline()) else []
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a sandbox that is up for all tests of this module but the last ones."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    assert made.run("sandbox", "up") == 0, made.err
    try:
        yield made
    finally:
        made.run("sandbox", "down")


@pytest.fixture
def settled(desk: Desk) -> Desk:
    """The same, with every instance ready and nothing open."""

    def ready() -> bool:
        shown = subprocess.run(
            [sys.executable, "-m", "sandbox", "status", "--json"], env=desk.env, capture_output=True, check=True
        )
        return all(one["ready"] for one in json.loads(shown.stdout)["instances"])

    desk.until(ready)
    assert not list((desk.home / "open").glob("*.json"))
    return desk


def secrets_of(desk: Desk) -> list[bytes]:
    """The master secret, and what two accounts sign with."""
    shown = subprocess.run([sys.executable, "-m", "sandbox", "describe"], env=desk.env, capture_output=True, check=True)
    master = Path(json.loads(shown.stdout)["secret_file"]).read_bytes().strip()
    derived = [
        hmac.new(master, account.encode(), hashlib.sha256).hexdigest().encode() for account in ("acct-0", "acct-1")
    ]
    return [master, *derived]


def verdict_of(run: RunDir) -> dict[str, Any]:
    verdict: dict[str, Any] = orjson.loads(run.verdict.read_bytes())
    return verdict


def test_a_whole_drill_and_what_it_leaves(settled: Desk) -> None:
    desk = settled
    process = desk.start("run", "quick.yaml")
    desk.until(lambda: "baseline" in desk.err)
    second = subprocess.run(
        [sys.executable, "-c", PROGRAM, "run", "quick.yaml"],
        cwd=desk.path,
        env=desk.env,
        capture_output=True,
        check=False,
    )
    assert second.returncode == 5
    assert second.stderr.startswith(b"refused: scope-locked: ")
    code, run = process.wait(200), desk.last_run()
    verdict = verdict_of(run)
    assert (verdict["outcomes"]["injection"], verdict["outcomes"]["cleanup"]) == ("passed", "passed"), desk.err
    assert verdict["rpo"]["lost"] == 0
    # a machine that is too busy for its own generator says so; it never says failed
    assert code == {"passed": 0, "inconclusive": 3}[verdict["verdict"]], desk.out
    assert desk.out.splitlines()[1].startswith(verdict["verdict"].upper())
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
    for file in (path for path in run.path.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert not any(secret in content for secret in secrets_of(desk)), f"a secret is in {file}"
    assert not desk.ours("chaoslib_ext")
    assert desk.ours("sandbox.node"), "a sandbox that was up stays up"


def test_nothing_can_be_planted_in_a_sandbox_that_is_up(settled: Desk) -> None:
    assert settled.run("run", "quick.yaml", "--plant", "W01") == 5
    assert settled.err.startswith("refused: sandbox-up: ")


@pytest.mark.parametrize(
    ("victim", "by"), [("ctk.runner", "runner"), ("probes.sampler", "sampler"), ("locust", "load")]
)
def test_a_killed_child_aborts_and_everything_is_undone(settled: Desk, victim: str, by: str) -> None:
    desk = settled
    process = desk.start("run", "quick.yaml")
    desk.until(lambda: "in effect" in desk.err)
    for one in desk.ours(victim):
        one.kill()
    assert process.wait(60) == 4, desk.err
    assert any(line.split("  ")[1:3] and f"{by}: " in line and "abort" in line for line in desk.err.splitlines()), (
        desk.err
    )
    assert verdict_of(desk.last_run())["verdict"] == "aborted"
    assert [entry.state for entry in ledger.read(desk.last_run().ledger).entries] == [State.VERIFIED]
    assert not desk.ours("chaoslib_ext")


def test_a_killed_guardian_is_replaced_and_ctrl_c_still_undoes(settled: Desk) -> None:
    desk = settled
    process = desk.start("run", "quick.yaml")
    desk.until(lambda: "in effect" in desk.err)
    for one in desk.ours("chaoslib_ext.guardian"):
        one.kill()
    desk.until(lambda: "a new one took over its ledger" in desk.err)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, desk.err
    assert [entry.state for entry in ledger.read(desk.last_run().ledger).entries] == [State.VERIFIED]
    assert not desk.ours("chaoslib_ext")


def test_a_killed_supervisor_is_undone_within_half_a_second(settled: Desk) -> None:
    desk = settled
    process = desk.start("run", "quick.yaml")
    desk.until(lambda: "in effect" in desk.err)
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
    chaos = [sys.executable, "-c", "from chaostoolkit.__main__ import cli; cli()"]
    done = subprocess.run(
        [*chaos, "run", str(EXPERIMENT)],
        cwd=desk.path,
        env=desk.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert orjson.loads((desk.path / "journal.json").read_bytes())["status"] == "completed"
    (book,) = (desk.home / "chaos").glob("*/ledger.ndjson")
    assert [entry.state for entry in ledger.read(book).entries] == [State.VERIFIED]
    assert not desk.ours("chaoslib_ext")


def test_an_embedded_sandbox_with_a_weakness_is_found_out_and_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.run("run", "quick.yaml", "--plant", "W01", "-o", "json") == 1, desk.err
    verdict, run = json.loads(desk.out), desk.last_run()
    assert verdict == verdict_of(run)
    assert verdict["rpo"]["lost"] > 0
    assert ("ack-before-replicate", "matching-engine") in {(f["class"], f["component"]) for f in verdict["findings"]}
    blind = [run.plan, run.events, run.verdict, run.report, run.path / "environment.json", run.journal]
    assert not any(b"W01" in path.read_bytes() for path in blind)
    assert (run.path / "truth" / "engine-0.ndjson").exists()
    assert not desk.ours()
