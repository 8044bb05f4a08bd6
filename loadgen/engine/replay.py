"""One replay from its configuration to its last chunk: connections, engine, witness and live counts put together."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from drills.errors import ComponentError, MusterError
from drills.evidence import RunDir, write_atomic
from loadgen import schedule, trace, venues
from loadgen.config import LoadConfig
from loadgen.engine.core import MS, Engine, State
from loadgen.engine.live import Live
from loadgen.engine.ops import Decided
from loadgen.engine.pool import Pool
from loadgen.venues.bybit_v5 import Wire
from loadgen.witness import ChunkWriter, Cursor, Spawn, open_schedule

TICK_NS = 1 * MS
LIVE_NS = 100 * MS
LINES_PER_CHUNK = 3
CONNECT_NS = 10_000 * MS
"""So long may the sessions take to connect before the replay gives up."""


class Replay:
    """Call `step` once a millisecond until it returns False; `stop` ends it early, `failure` says why it failed.

    Raises MusterError from the constructor for a configuration, trace or venue that cannot be used. `make_socket` and
    `make_epoll` are the real ones where the process patches them; `spawn` runs a function on a real thread.
    """

    def __init__(
        self,
        config: LoadConfig,
        spawn: Spawn,
        *,
        make_socket: Callable[..., socket.socket] = socket.socket,
        make_epoll: Callable[[], Any] | None = None,
    ) -> None:
        self.failure: str | None = None
        self.on_decided: Callable[[Decided], None] = lambda decided: None
        self._config, self._spawn = config, spawn
        self._run = RunDir(config.run_dir)
        self._clock = time.monotonic_ns
        self._parent = os.getppid()
        for folder in (self._run.load, self._run.witness_chunks, self._run.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._live = Live(self._run.live, config.limits_ms)
        self._engine: Engine | None = None
        self._writer: ChunkWriter | None = None
        self._pool: Pool | None = None
        self._reported = 0
        self._lines = 0
        self._next_line_ns = 0
        self._stop_asked = self._stopping = False
        try:
            self._prepare(make_socket, make_epoll)
        except MusterError as error:
            self._fail(str(error))
            raise

    def step(self) -> bool:
        """Do what is due; False once everything is written and nothing is left to do."""
        now = self._clock()
        assert self._pool is not None
        try:
            if self._stop_asked and not self._stopping:
                return self._begin_to_stop(now)
            if self._engine is None:
                self._connect(now)
            else:
                self._engine.tick()
                if self._engine.state is State.DONE:
                    return self._close()
            if now >= self._next_line_ns:
                self._line(now)
        except OSError as error:
            self._fail(f"{error.filename or self._run.path}: {(error.strerror or str(error)).lower()}")
        except MusterError as error:
            self._fail(str(error))
        return self.failure is None

    def stop(self) -> None:
        """Send nothing more, wait at most one timeout for answers, write everything down."""
        self._stop_asked = True

    def _begin_to_stop(self, now: int) -> bool:
        self._stopping = True
        if self._engine is None:
            self._live.write(now, "done", None, None)
            return False
        self._engine.stop()
        self._line(now)  # says until when the schedule counts
        return True

    def _prepare(self, make_socket: Callable[..., socket.socket], make_epoll: Callable[[], Any] | None) -> None:
        config = self._config
        recorded = trace.read(config.trace)
        self._schedule = schedule.build(
            recorded,
            duration_s=config.duration_s,
            speed=config.speed,
            amplify=config.amplify,
            sessions=config.sessions,
            seed=config.seed,
        )
        master = _secret(Path(config.venue["secret_file"]))
        mark = {"seq": venues.get(config.venue["type"]).watermark(config.venue), "t_ns": self._clock()}
        write_atomic(self._run.load / "watermark.json", orjson.dumps(mark))
        self._wire = Wire(recorded, config.run_id, master)
        self._pool = Pool(
            config.venue["ws"],
            self._schedule.sessions,
            lambda session: self._wire.auth(self._schedule.account(session)),
            seed=config.seed,
            make_socket=make_socket,
            make_epoll=make_epoll,
        )
        self._connect_until_ns = self._clock() + CONNECT_NS

    def _connect(self, now: int) -> None:
        assert self._pool is not None
        self._pool.poll(now)
        start = self._config.start_ns
        if self._pool.all_ready() or (start is not None and now >= start - 300 * MS):
            self._start(now)
        elif now >= self._connect_until_ns:
            raise ComponentError("load", f"not every session could connect within 10 s: {self._pool.last_error}")

    def _start(self, now: int) -> None:
        config, count = self._config, len(self._schedule)
        assert self._pool is not None
        # writing the schedule takes time before the first send: about half a microsecond a row
        start = config.start_ns if config.start_ns is not None else now + 250 * MS + count * 500
        schedule.write(self._schedule, self._run.load / "schedule.arrow", config.run_id, start)
        cursor = Cursor(self._run.load / "cursor.bin")
        table, _ = open_schedule(config.run_dir)
        self._writer = ChunkWriter(self._run.witness_chunks, table, config.run_id, self._spawn)
        self._engine = Engine(
            self._schedule,
            start,
            self._pool,
            self._wire,
            self._clock,
            outage=config.outage,
            timeout_ns=config.timeout_ms * MS,
            seed=config.seed,
            cursor=cursor.move,
        )

    def _line(self, now: int) -> None:
        self._next_line_ns = now + LIVE_NS
        engine = self._engine
        state = engine.state.value if engine else "starting"
        self._live.write(now, state, engine, self._news())
        self._lines += 1
        if self._lines % LINES_PER_CHUNK == 0:
            self._chunk()
        if self._writer and self._writer.failure:
            raise self._writer.failure
        if os.getppid() != self._parent:
            raise ComponentError("load", "its supervisor is gone")

    def _news(self) -> Decided:
        if not self._engine:
            return Decided()
        news = self._engine.decided.since(self._reported)
        self._reported += len(news.n)
        if news.n:
            self.on_decided(news)
        return news

    def _chunk(self) -> None:
        """Hand over everything that the live lines have counted."""
        if self._engine and self._writer and self._engine.decided.n:
            full, self._engine.decided, self._reported = self._engine.decided, Decided(), 0
            self._writer.submit(full)

    def _close(self) -> bool:
        """The last chunk and the last line; True while chunks are still on their way."""
        assert self._engine is not None
        assert self._writer is not None
        assert self._pool is not None
        if self._engine.decided.n:
            self._live.write(self._clock(), State.DRAINING.value, self._engine, self._news())
            self._chunk()
        if self._writer.pending:
            return True
        if self._writer.failure:
            raise self._writer.failure
        self._pool.close()
        self._live.write(self._clock(), "done", self._engine, None)
        return False

    def _fail(self, reason: str) -> None:
        """Keep what there is, and say why it ended."""
        if self.failure:
            return
        self.failure = reason
        if self._pool:
            self._pool.close()
        try:
            self._live.write(self._clock(), "failed", self._engine, self._news(), reason)
            self._chunk()
            deadline = self._clock() + 500 * MS
            while self._writer and self._writer.pending and self._clock() < deadline:
                time.sleep(0.005)
        except OSError:
            return  # the disk that failed us cannot take the reason either; the caller prints it


def _secret(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise ComponentError(
            "load", f"{path}: {(error.strerror or 'unreadable').lower()}; is the sandbox up?"
        ) from error
