"""One worker of a replay: plays its share of the sessions, tells its master how it goes, and needs it for nothing.

A master that dies takes the page and the merged counts with it, never the measurement: a replay that began goes on to
its end, and everything is written. What ends it early is a stop, or the death of the process that wanted the load.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust import runners
from locust.env import Environment
from locust.exception import RPCError, RPCSendError
from locust.rpc import Message

from drills.errors import ComponentError, MusterError
from drills.evidence import RunDir
from loadgen import clocks, config
from loadgen.config import LoadConfig
from loadgen.engine.files import LoadFiles
from loadgen.engine.replay import Replay
from loadgen.launch import Supervisor
from loadgen.locustfiles import messages, playing

TALK_S = 0.05
ANSWER_S = 30.0
"""So long a worker waits for a word of its master before the start."""
BYE_S = 3.0
REPORT_S = 1.0
"""Locust's page is never older than this."""


class Worker:
    """The replay of one worker process. Its engine runs in a greenlet of its own, which Locust knows nothing of."""

    def __init__(self, environment: Environment, runner: runners.WorkerRunner) -> None:
        self._environment, self._runner = environment, runner
        self._stop = playing.Stop()
        self._supervisor = Supervisor()
        self._replay: Replay | None = None
        self._sessions = 0
        self._outbox: deque[tuple[str, Any]] = deque()
        self._spawned, self._bye = Event(), Event()
        self._heard: dict[str, Any] = {}
        self._got: set[str] = set()
        self._told_ready = self._alone = False
        self._started_by = os.getppid()
        self._offset_ns = 0
        self._main: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Listen to the master, and play as soon as it says when."""
        runners.MASTER_HEARTBEAT_TIMEOUT = 1 << 40  # a silent master is no reason to leave
        runners.WORKER_REPORT_INTERVAL = REPORT_S
        for name, listener in (
            (messages.PING, self._pong),
            (messages.CLOCK, self._keep),
            (messages.START, self._keep),
            (messages.STOP, self._asked_to_stop),
            (messages.GOT, self._file_arrived),
            (messages.BYE, self._let_go),
        ):
            self._runner.register_message(name, listener)
        events = self._environment.events
        events.test_start.add_listener(self._cleared)  # type: ignore[no-untyped-call]
        events.report_to_master.add_listener(self._report)  # type: ignore[no-untyped-call]
        events.test_stopping.add_listener(self._asked_to_stop)  # type: ignore[no-untyped-call]
        events.quitting.add_listener(self._finish_first)  # type: ignore[no-untyped-call]
        gevent.spawn(self._talk)
        self._main = gevent.spawn(self._run)

    # -- the replay --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure: str | None = None
        code = 1
        try:
            code = self._play()
            failure = self._replay.failure if self._replay else None
        except (MusterError, OSError) as error:
            failure = str(error)
        finally:
            error_now = sys.exception()
            if error_now is not None:
                failure = f"load: internal error: {type(error_now).__name__}: {error_now}"
            self._end(failure, code if failure is None else 1)

    def _play(self) -> int:
        options = self._environment.parsed_options
        assert options is not None
        self._stop.listen()
        known = self._hello(options.muster_worker)
        if known["worker"] is None:
            # in place of a lost one, whose share was begun already, or one more than were asked for
            logging.getLogger("muster").warning("there is no share for this worker")
            return 0
        said = config.load(Path(options.muster_config))
        folder = Path(options.muster_run_dir) if options.muster_run_dir else said.run_dir
        self._config = said.model_copy(update={"worker": known["worker"], "run_dir": folder})
        self._offset_ns = offset_ns = int(known["offset_ns"])

        def clock() -> int:
            return time.monotonic_ns() - offset_ns

        replay = playing.replay_of(self._config, self._environment, await_start=True, clock=clock)
        replay.supervised = self._supervisor.alive
        replay.on_line(self._line)
        self._replay, self._connected_by = replay, time.monotonic() + ANSWER_S
        playing.play(replay, self._stop, clock, self._each)
        return 1 if replay.failure else 0

    def _hello(self, number: int) -> dict[str, Any]:
        who = {
            "worker": number if number >= 0 else self._runner.worker_index,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "clock": clocks.identity(),
        }
        self._outbox.append((messages.HELLO, who))
        deadline = time.monotonic() + ANSWER_S
        while messages.CLOCK not in self._heard:
            if self._alone or self._stop.asked or time.monotonic() > deadline or not self._supervisor.alive():
                raise ComponentError("load", f"worker {who['worker']} heard nothing of its master")
            gevent.sleep(TALK_S)
        heard: dict[str, Any] = self._heard[messages.CLOCK]
        return heard

    def _each(self) -> None:
        """Once a tick: begin when the master says so."""
        replay = self._replay
        assert replay is not None
        if replay.engine is not None:
            return
        if messages.START in self._heard:
            replay.begin_at(self._heard[messages.START]["start_ns"])
        elif replay.connected and self._spawned.is_set() and not self._told_ready:
            self._told_ready, self._connected_by = True, time.monotonic() + 3 * ANSWER_S
            self._outbox.append((messages.READY, {"rows": replay.rows}))
        elif self._alone or (self._told_ready and time.monotonic() > self._connected_by):
            self._stop.asked = True  # a master that was lost before the start: nothing was sent

    def _end(self, failure: str | None, code: int) -> None:
        if failure:
            logging.getLogger("muster").error("%s", failure)
            sys.stderr.write(f"{failure}\n")
        self._environment.process_exit_code = code
        self._sessions = 0
        try:
            self._send_all()
            self._attempt(self._runner._send_stats)
            if self._replay is not None and self._config.collect == "messages":
                self._attempt(lambda: self._send_files(self._config))
            self._attempt(lambda: self._runner.send_message(messages.DONE, {"failure": failure}))
            self._bye.wait(BYE_S)
        finally:
            self._runner.client.socket.linger = 0
            self._runner.quit()

    # -- the master --------------------------------------------------------------------------------------------------

    def _line(self, line: dict[str, Any]) -> None:
        """A live line was written; called by the engine, so it only notes it."""
        self._sessions = 1 if line["state"] in ("running", "draining") else 0
        self._outbox.append((messages.LINES, line))

    def _talk(self) -> None:
        while True:
            if os.getppid() != self._started_by and not self._alone:
                self._cut_off()
            self._send_all()
            gevent.sleep(TALK_S)

    def _cut_off(self) -> None:
        """Our master started us, and has died: Locust would wait nine seconds for it with every message."""
        self._alone = True
        logging.getLogger("muster").warning("the master is gone")
        self._runner.client.send = lambda msg: None
        self._bye.set()

    def _send_all(self) -> None:
        lines = []
        while self._outbox:
            name, data = self._outbox.popleft()
            if name == messages.LINES:
                lines.append(data)
            else:
                self._attempt(lambda n=name, d=data: self._runner.send_message(n, d))
        if lines:
            self._attempt(lambda: self._runner.send_message(messages.LINES, {"lines": lines}))

    def _attempt(self, send: Any) -> None:  # noqa: ANN401 - a call without arguments
        try:
            send()
        except (RPCError, RPCSendError) as error:
            logging.getLogger("muster").warning("nothing reaches the master: %s", error)

    def _send_files(self, load: LoadConfig) -> None:
        """Hand over everything that this worker wrote, one file after the other, each in pieces."""
        run, files = RunDir(load.run_dir), LoadFiles(RunDir(load.run_dir), load.worker)
        found = [files.schedule, files.cursor, files.live, files.histograms, run.load / "watermark.json"]
        for path in [*found, run.load / "left-out.json", *files.chunks()]:
            if not path.exists():
                continue
            name, size, at = str(path.relative_to(run.path)), path.stat().st_size, 0
            with path.open("rb") as file:
                while at < size or not at:
                    data = file.read(messages.PIECE)
                    piece = {"name": name, "at": at, "data": data, "last": at + len(data) >= size}
                    self._runner.send_message(messages.FILE, piece)
                    at += max(1, len(data))
            deadline = time.monotonic() + ANSWER_S
            while name not in self._got and time.monotonic() < deadline:
                gevent.sleep(0.005)

    def _pong(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        self._runner.send_message(messages.PONG, {**msg.data, "read_ns": time.monotonic_ns()})

    def _keep(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        self._heard[msg.type] = msg.data

    def _asked_to_stop(self, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        self._stop.asked = True

    def _file_arrived(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        self._got.add(msg.data["name"])

    def _let_go(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        self._bye.set()

    # -- Locust ------------------------------------------------------------------------------------------------------

    def _cleared(self, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        """Locust has begun a test, whether it started a user here or not: from now on it clears no statistics."""
        self._spawned.set()

    def _report(self, client_id: str, data: dict[str, Any]) -> None:
        """Locust's page counts as users what we count as sessions."""
        if self._sessions and self._replay is not None:
            data["user_classes_count"] = dict.fromkeys(data["user_classes_count"], self._replay.sessions)

    def _finish_first(self, environment: Environment, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        """Locust is told to leave: not before the drain is over and everything is written."""
        self._stop.asked = True
        if self._main is not None and gevent.getcurrent() is not self._main:
            self._main.join()
