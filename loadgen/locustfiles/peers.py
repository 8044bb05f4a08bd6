"""What a master knows of its workers: who they are, how far they are, and what became of their processes."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gevent import subprocess as waiting
from locust.runners import STATE_MISSING, MasterRunner

from drills.evidence import RunDir
from loadgen import clocks, launch
from loadgen.clocks import SAME, Offset
from loadgen.config import LoadConfig
from loadgen.merged import Share

END_S = 5.0
"""So long a worker may take to leave after it has said that it is done."""


@dataclass(slots=True)
class Peer:
    """One worker. `lost` says what became of it, where it went before it was done."""

    number: int
    share: Share
    log: Path
    process: waiting.Popen[bytes] | None = None
    client: str | None = None
    pid: int = 0
    host: str = ""
    same_clock: bool = False
    rounds: list[tuple[int, int, int]] = field(default_factory=list)
    offset: Offset = SAME
    told_clock: bool = False
    rows: int = -1  # of its schedule; -1 until it is ready
    done: bool = False
    failure: str | None = None
    lost: str | None = None

    def hello(self, client: str, who: dict[str, Any]) -> None:
        """It is there."""
        self.client, self.pid, self.host = client, who["pid"], who["host"]
        self.same_clock = bool(who["clock"]) and who["clock"] == clocks.identity()

    def missing(self, runner: MasterRunner) -> str | None:
        """What became of it where it is gone and was not done: its process here, Locust's heartbeat elsewhere."""
        if self.done or self.lost:
            return None
        if self.process is not None:
            code = self.process.poll()
            return None if code is None else f"worker {self.number} {how(code)}{self._last_words()}"
        if self.client is None:
            return None
        node = runner.clients.get(self.client)
        if node is None:
            return f"worker {self.number} on {self.host} left"
        return f"worker {self.number} on {self.host} is silent" if node.state == STATE_MISSING else None

    def end(self) -> None:
        """Wait for its process to leave; end it where it does not."""
        if self.process is None:
            return
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self.process.send_signal(number)
            try:
                self.process.wait(END_S)
            except waiting.TimeoutExpired:
                continue
            return

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f": {lines[-1].strip()[:200]}" if lines else ""


def how(code: int) -> str:
    """How a process ended, in words, from its return code."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"


def expected(config: LoadConfig) -> dict[int, Peer]:
    """One for each share of the sessions, none of them there yet."""
    logs = RunDir(config.run_dir).logs
    logs.mkdir(parents=True, exist_ok=True)
    return {k: Peer(k, Share(), logs / f"worker-{k:02d}.log") for k in range(config.workers)}


def start(peers: dict[int, Peer], config: LoadConfig, path: Path, port: int, supervisor: int) -> None:
    """Start a process for each, and write down which. Raises OSError."""
    environment = {**os.environ, launch.PARENT: str(supervisor)}
    for peer in peers.values():
        with peer.log.open("ab") as sink:
            peer.process = waiting.Popen(
                launch.worker_command(path, peer.number, port),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,  # they outlive us, and a Ctrl-C at the terminal is not theirs
            )
    launch.note_workers(config.run_dir, [peer.process.pid for peer in peers.values() if peer.process])
