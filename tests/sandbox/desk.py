"""A desk: a folder with two drills, a MUSTER_HOME of its own, and `muster` as a person calls it there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks.bench_truth import DRILL
from drills.evidence import RunDir

PROGRAM = "import sys; from chaoslib_ext.cli.main import main; main()"
SHORT = """\
drill: short
title: The primary engine dies, and then something of ours
hypothesis: Whatever dies of ours, the engine is started again.
owner: trading-core
services: [matching-engine]
load: {trace: linear-perp-1m, speed: 0.2}
objectives:
  - {id: rto-place, rto: 10s, flow: place}
guards:
  - {longest: 2m}
faults:
  engine-dies: {process.kill: {service: matching-engine, role: primary}}
phases:
  - baseline: {for: 1s}
  - inject: {fault: engine-dies}
  - recover: {until: sustained, within: 60s}
  - restore: {until: redundancy}
"""
"""Never walked to its end: a fifth of the traffic is a fifth of what has to be read when it is stopped."""


class Desk:
    """quick.yaml is a whole drill, short.yaml one to be disturbed."""

    def __init__(self, path: Path) -> None:
        self.path, self.home = path, path / "home"
        (path / "quick.yaml").write_text(DRILL.read_text())
        (path / "short.yaml").write_text(SHORT)
        self.env = {**os.environ, "MUSTER_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `muster WORDS`; what it says is `out` and `err`."""
        with (self.path / "err.txt").open("wb") as err, (self.path / "out.txt").open("wb") as out:
            argv = [sys.executable, "-c", PROGRAM, *words]
            self.process = subprocess.Popen(
                argv, cwd=self.path, env=self.env, stdout=out, stderr=err, start_new_session=True
            )
            return self.process

    def run(self, *words: str, timeout_s: float = 200) -> int:
        """Run it to its end; its exit code."""
        return self.start(*words).wait(timeout_s)

    def stop(self) -> None:
        """End what a failed test left running, so that the next one is not its victim."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def aside(self, *argv: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a Python program with what it says in the answer, whatever else runs here."""
        return subprocess.run(
            [sys.executable, *argv],
            cwd=self.path,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def muster(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The same for `muster WORDS`."""
        return self.aside("-c", PROGRAM, *words)

    @property
    def err(self) -> str:
        """What was last started said on stderr."""
        return (self.path / "err.txt").read_text()

    @property
    def out(self) -> str:
        """And on stdout."""
        return (self.path / "out.txt").read_text()

    def last_run(self) -> RunDir:
        """The newest run."""
        return RunDir(max((self.path / "runs").glob("*/*"), key=lambda path: path.stat().st_mtime_ns))

    def open(self) -> list[Path]:
        """The markers of runs that go on or left something."""
        return list((self.home / "open").glob("[!.]*"))

    def until(self, condition: Callable[[], Any], within_s: float = 120) -> None:
        """Wait for it; fails with what was said."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.err
            time.sleep(0.01)

    def settle(self) -> None:
        """Wait until every instance is ready; nothing may be open."""

        def ready() -> bool:
            shown = self.aside("-m", "sandbox", "status", "--json")
            return all(one["ready"] for one in json.loads(shown.stdout)["instances"])

        self.until(ready)
        assert self.open() == []

    def describe(self) -> Mapping[str, Any]:
        """What `sandbox describe` prints."""
        described: Mapping[str, Any] = json.loads(self.aside("-m", "sandbox", "describe").stdout)
        return described

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


@dataclass(frozen=True)
class Drilled:
    """A run of quick.yaml that is over: its exit code, and what it said."""

    desk: Desk
    run: RunDir
    code: int
    out: str
    err: str

    @property
    def verdict(self) -> dict[str, Any]:
        """verdict.json."""
        return verdict_of(self.run)

    @property
    def steady(self) -> bool:
        """Whether its baseline was; else nobody was killed, and the machine is to blame."""
        return "baseline   not steady" not in self.err

    @property
    def causes(self) -> set[str]:
        """Codes of what weakens the verdict."""
        return {cause["code"] for cause in self.verdict["causes"]}

    @property
    def objectives(self) -> dict[str, str]:
        """The result of each objective."""
        return {one["name"]: one["result"] for one in self.verdict["objectives"]}

    @property
    def findings(self) -> set[tuple[str, str]]:
        """Class and component of each finding."""
        return {(one["class"], one["component"]) for one in self.verdict["findings"]}


def verdict_of(run: RunDir) -> dict[str, Any]:
    """Its verdict.json."""
    verdict: dict[str, Any] = orjson.loads(run.verdict.read_bytes())
    return verdict


def drilled(desk: Desk, *options: str, meanwhile: Callable[[], None] = lambda: None) -> Drilled:
    """Run quick.yaml to its end; `meanwhile` is called as soon as it holds its scope."""
    process = desk.start("run", "quick.yaml", *options)
    desk.until(desk.open)
    meanwhile()
    code = process.wait(200)
    return Drilled(desk, desk.last_run(), code, desk.out, desk.err)
