"""The master of a replay with workers: one start for all, one file of live counts, and an eye on each of them."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import orjson
from locust import runners
from locust import stats as locust_stats
from locust.env import Environment
from locust.rpc import Message

from drills.errors import ComponentError, MusterError
from drills.evidence import RunDir, write_atomic
from loadgen import clocks, config, stand_in
from loadgen.collect import Parcels
from loadgen.engine.files import LoadFiles
from loadgen.launch import Supervisor
from loadgen.locustfiles import messages, peers
from loadgen.locustfiles.peers import Peer
from loadgen.locustfiles.playing import Stop
from loadgen.merged import Merged

BEAT_S = 0.05
LINE_NS = 100_000_000
READY_S = 120.0
"""So long the workers may take to read the trace and to connect."""
START_NS = 400_000_000
"""From the word to the first operation, and half a microsecond a row for writing the schedule."""
DRAIN_S = 10.0
"""So long the others may take to stop where one cannot start."""


class Failed(Exception):
    """The replay cannot be played; the message says why."""


class Master:
    """Starts the workers, unless they come from elsewhere, and follows them from hello to bye."""

    def __init__(self, environment: Environment, runner: runners.MasterRunner) -> None:
        self._environment, self._runner = environment, runner
        self._stop, self._supervisor = Stop(), Supervisor()
        self._told_to_stop = False
        self._next_line_ns = 0
        self._main: gevent.Greenlet | None = None
        self._lost: dict[int, str] = {}
        self._peers: dict[int, Peer] = {}
        options = environment.parsed_options
        assert options is not None
        self._options = options
        self._path = Path(options.muster_config)

    def begin(self) -> None:
        """Listen to the workers, and go on in a greenlet of its own."""
        for name, listener in (
            (messages.HELLO, self._hello),
            (messages.PONG, self._pong),
            (messages.READY, self._ready),
            (messages.LINES, self._lines),
            (messages.FILE, self._file),
            (messages.DONE, self._done),
        ):
            self._runner.register_message(name, listener)
        locust_stats.HISTORY_STATS_INTERVAL_SEC = 1
        events = self._environment.events
        # the button of the page
        events.test_stopping.add_listener(self._asked_to_stop)  # type: ignore[no-untyped-call]
        events.quitting.add_listener(self._finish_first)  # type: ignore[no-untyped-call]
        self._main = gevent.spawn(self._run)

    def _run(self) -> None:
        code = 1
        try:
            code = self._play()
        except (MusterError, Failed, OSError) as error:
            logging.getLogger("muster").error("%s", error)
            sys.stderr.write(f"{error}\n")
        finally:
            error_now = sys.exception()
            if error_now is not None:
                sys.stderr.write(f"load: internal error: {type(error_now).__name__}: {error_now}\n")
            self._environment.process_exit_code = code
            self._leave()

    def _play(self) -> int:
        if not self._supervisor.alive():
            raise ComponentError("load", "its supervisor was gone before it started")
        self._config = config.load(self._path)
        run = RunDir(self._config.run_dir)
        if not self._config.path.exists():  # on this host
            self._config.save()
        self._peers = peers.expected(self._config)
        self._parcels = Parcels(run.path)
        self._merged = Merged(run.live, {k: peer.share for k, peer in self._peers.items()})
        if not self._options.muster_remote:
            port = self._runner.master_bind_port = self._runner.server.port
            peers.start(self._peers, self._config, self._path, port, self._supervisor.pid)
        try:
            self._gather()
            self._watch()
        except (MusterError, Failed, OSError) as error:
            self._give_up(str(error))
            raise
        return self._sum_up()

    # -- before the start --------------------------------------------------------------------------------------------

    def _gather(self) -> None:
        """Until every worker is ready; then all start at the same instant."""
        deadline = time.monotonic() + READY_S
        while not all(peer.rows >= 0 for peer in self._peers.values()):
            self._beat()
            if self._lost:
                raise Failed(f"load: {next(iter(self._lost.values()))} before the start")
            for peer in self._peers.values():
                self._settle_clock(peer)
                if peer.failure:
                    raise Failed(peer.failure)
            if self._told_to_stop:
                return
            if time.monotonic() > deadline:
                late = ", ".join(str(k) for k, peer in self._peers.items() if peer.rows < 0)
                raise Failed(f"load: not ready within {READY_S:g} s: worker {late}")
            gevent.sleep(BEAT_S / 5)
        rows = max(peer.rows for peer in self._peers.values())
        self._start_ns = self._config.start_ns or time.monotonic_ns() + START_NS + rows * 500
        self._note_clocks()
        for peer in self._peers.values():
            self._say(peer, messages.START, {"start_ns": self._start_ns})

    def _settle_clock(self, peer: Peer) -> None:
        """Tell a worker its share and its clock, once that is known."""
        if peer.client is None or peer.told_clock:
            return
        if not peer.same_clock and len(peer.rounds) < clocks.ROUNDS:
            return
        peer.offset = clocks.SAME if peer.same_clock else clocks.offset(peer.rounds)
        peer.told_clock = True
        self._say(peer, messages.CLOCK, {"worker": peer.number, "offset_ns": peer.offset.ns})

    def _note_clocks(self) -> None:
        workers = [
            {"worker": k, "host": p.host, "pid": p.pid, "offset_ns": p.offset.ns, "error_ns": p.offset.error_ns}
            for k, p in self._peers.items()
        ]
        worst = max(peer.offset.error_ns for peer in self._peers.values())
        data = {"workers": workers, "error_ns": worst, "start_ns": self._start_ns}
        path = RunDir(self._config.run_dir).load / "clocks.json"
        write_atomic(path, orjson.dumps(data, option=orjson.OPT_INDENT_2))

    # -- while they play ---------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not all(peer.done or peer.lost for peer in self._peers.values()):
            self._beat()
            gevent.sleep(BEAT_S)

    def _beat(self) -> None:
        """What is due at any time: signals, lost workers, a live line."""
        self._stop.listen()
        if not self._supervisor.alive():
            raise ComponentError("load", "its supervisor is gone")
        for peer in self._peers.values():
            peer.lost = peer.lost or peer.missing(self._runner)
            if peer.lost and peer.number not in self._lost:
                self._lose(peer, peer.lost)
        if self._stop.asked and not self._told_to_stop:
            self._told_to_stop = True
            for peer in self._peers.values():
                self._say(peer, messages.STOP, {})
        now = time.monotonic_ns()
        if now >= self._next_line_ns:
            self._next_line_ns = now + LINE_NS
            self._merged.write(now, lost=self._lost, reason=self._why())

    def _lose(self, peer: Peer, what: str) -> None:
        self._lost[peer.number] = what
        logging.getLogger("muster").error("%s", what)
        sys.stderr.write(f"load: {what}; its share is not sent any more\n")
        if peer.rows >= 0 and peer.process is None:
            mine = self._config.model_copy(update={"worker": peer.number})
            stand_in.write(mine, self._start_ns, time.monotonic_ns())
        peer.share.lose(LoadFiles(RunDir(self._config.run_dir), peer.number))

    def _why(self) -> str | None:
        failures = [peer.failure for peer in self._peers.values() if peer.failure]
        return "; ".join([*self._lost.values(), *failures]) or None

    # -- the end -----------------------------------------------------------------------------------------------------

    def _sum_up(self) -> int:
        reason = self._why()
        state = "failed" if reason else "done"
        self._merged.write(time.monotonic_ns(), state=state, lost=self._lost, reason=reason)
        if reason:
            sys.stderr.write(f"load: {reason}\n")
        return 1 if reason else 0

    def _give_up(self, reason: str) -> None:
        """One cannot play, so the others need not."""
        for peer in self._peers.values():
            self._say(peer, messages.STOP, {})
            if peer.client is None and peer.process is not None:
                peer.process.terminate()
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and any(
            peer.client and not peer.done and not peer.missing(self._runner) for peer in self._peers.values()
        ):
            gevent.sleep(BEAT_S)
        self._merged.write(time.monotonic_ns(), state="failed", lost=self._lost, reason=reason)

    def _leave(self) -> None:
        try:
            for peer in self._peers.values():
                self._say(peer, messages.BYE, {})
            gevent.joinall([gevent.spawn(peer.end) for peer in self._peers.values()])
            if self._runner.state != runners.STATE_INIT:
                locust_stats.update_stats_history(self._runner)
            while self._options.muster_stay and not self._stop.by_signal:
                self._stop.listen()
                gevent.sleep(BEAT_S)
        finally:
            self._options.expect_workers = 0  # Locust would wait on for those that never came
            self._runner.quit()
            if self._environment.web_ui is not None:
                self._environment.web_ui.stop()  # type: ignore[no-untyped-call]

    # -- the workers -------------------------------------------------------------------------------------------------

    def _say(self, peer: Peer, name: str, data: dict[str, Any]) -> None:
        if peer.client is not None and not peer.lost:
            self._runner.send_message(name, data, peer.client)

    def _peer(self, msg: Message) -> Peer | None:
        return next((peer for peer in self._peers.values() if peer.client == msg.node_id), None)

    def _hello(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        peer = self._peers.get(msg.data["worker"])
        if peer is None or peer.client is not None:
            # one that was started again in place of a lost one: its share was begun already
            self._runner.send_message(messages.CLOCK, {"worker": None, "offset_ns": 0}, msg.node_id)
            return
        peer.hello(msg.node_id, msg.data)
        if not peer.same_clock:
            self._ping(peer)

    def _ping(self, peer: Peer) -> None:
        self._say(peer, messages.PING, {"asked_ns": time.monotonic_ns()})

    def _pong(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        heard, peer = time.monotonic_ns(), self._peer(msg)
        if peer is None:
            return
        peer.rounds.append((msg.data["asked_ns"], msg.data["read_ns"], heard))
        if len(peer.rounds) < clocks.ROUNDS:
            self._ping(peer)

    def _ready(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        peer = self._peer(msg)
        if peer is not None:
            peer.rows = msg.data["rows"]

    def _lines(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        peer = self._peer(msg)
        if peer is not None:
            peer.share.add(msg.data["lines"])

    def _file(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        peer = self._peer(msg)
        if peer is not None and self._parcels.take(**msg.data):
            self._say(peer, messages.GOT, {"name": msg.data["name"]})

    def _done(self, environment: Environment, msg: Message, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        peer = self._peer(msg)
        if peer is not None:
            peer.done, peer.failure = True, msg.data["failure"]

    def _asked_to_stop(self, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        self._stop.asked = True

    def _finish_first(self, environment: Environment, **rest: Any) -> None:  # noqa: ANN401 - Locust's
        """Locust is told to leave: not before every worker has written everything."""
        self._stop.asked = True
        if self._main is not None and gevent.getcurrent() is not self._main:
            self._main.join()
