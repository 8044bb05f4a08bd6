"""One replay from its configuration to its last chunk: connections, engine, witness and live counts put together."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import orjson

from drills.errors import ComponentError, MusterError
from drills.evidence import RunDir, write_atomic
from loadgen import schedule, transform, venues
from loadgen import trace as traces
from loadgen.config import LoadConfig
from loadgen.engine import tls
from loadgen.engine.core import Engine, State
from loadgen.engine.files import LoadFiles
from loadgen.engine.here import here
from loadgen.engine.live import Live
from loadgen.engine.names import Names, ResolverNames, SystemNames
from loadgen.engine.ops import Decided
from loadgen.engine.pool import Pool
from loadgen.engine.sendable import SANDBOXES, check_loopback, wire_for
from loadgen.engine.watch import MS, Terms
from loadgen.engine.windows import TICK_NS
from loadgen.sanitise import check_target
from loadgen.trace import Trace
from loadgen.venues.endpoints import resolver_of
from loadgen.witness import ChunkWriter, Cursor, Spawn

BEAT_NS, SLOW_BEAT_NS, MANY = 4 * MS, 20 * MS, 500
"""Decided operations are counted each 20 ms, and as soon as they are many, that counting is not felt as lag."""
LIVE_NS = 100 * MS
LINES_PER_CHUNK = 2
WARM_ROWS = 200_000
"""The first operations of the schedule are prepared before the start, that the first second is like any other."""
CONNECT_NS = 10_000 * MS
"""So long may the sessions take to connect before the replay gives up."""


class Replay:
    """Call `step` once a millisecond until it returns False; `stop` ends it early, `failure` says why it failed.

    Raises MusterError from the constructor for a configuration, trace or venue that cannot be used. `make_socket` and
    `make_epoll` are the real ones where the process patches them; `spawn` runs a function on a real thread. With
    `await_start` the replay waits, connected, until `begin_at` says when the schedule starts. `clock` gives ns of
    CLOCK_MONOTONIC of the host whose time the run is told in; `supervised` says whether anybody is left to play for.
    """

    def __init__(
        self,
        config: LoadConfig,
        spawn: Spawn,
        *,
        await_start: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        make_socket: Callable[..., socket.socket] = socket.socket,
        make_epoll: Callable[[], Any] | None = None,
    ) -> None:
        self.failure: str | None = None
        self.sessions = 0  # clients of the schedule that this process plays
        self.on_decided: Callable[[Decided], None] = lambda decided: None
        self._config, self._spawn = config, spawn
        self._run = RunDir(config.run_dir)
        self._files = LoadFiles(self._run, config.worker)
        self._clock = clock
        parent = os.getppid()
        self.supervised: Callable[[], bool] = lambda: os.getppid() == parent
        for folder in (self._run.load, self._run.witness_chunks, self._run.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._live = Live(self._files.live, config.limits_ms)
        self.engine: Engine | None = None
        self._writer: ChunkWriter | None = None
        self._pool: Pool | None = None
        self._decided: list[Decided] = []
        self._start_ns, self._await_start = config.start_ns, await_start
        self._storms: list[tuple[int, float]] = []
        self._lines = 0
        self._ticked_ns = 0
        self._window_ns = 0  # what rendering a window took lately
        self._next_line_ns = self._next_beat_ns = 0
        self._stop_asked = self._stopping = False
        try:
            names = self._names(make_socket)
            self._prepare(partial(Pool, make_socket=make_socket, make_epoll=make_epoll, names=names))
        except MusterError as error:
            self._fail(str(error))
            raise

    @property
    def rows(self) -> int:
        """Operations of the schedule."""
        return len(self._schedule)

    def on_line(self, hear: Callable[[dict[str, Any]], None]) -> None:
        """Call `hear` with every live line that is written from now on."""
        self._live.on_line = hear

    @property
    def connected(self) -> bool:
        """Whether every session may send."""
        return self._pool is not None and self._pool.all_ready()

    def begin_at(self, start_ns: int) -> None:
        """The schedule starts then (CLOCK_MONOTONIC)."""
        self._start_ns, self._await_start = start_ns, False

    def step(self) -> bool:
        """Do what is due; False once everything is written and nothing is left to do."""
        now = self._clock()
        try:
            if self._stop_asked and not self._stopping:
                return self._begin_to_stop(now)
            if self.engine is None:
                self._connect(now)
            else:
                self._ticked_ns = now
                self.engine.tick()
                self._reconnect(now)
                if self.engine.state is State.DONE:
                    return self._close()
            if now >= self._next_beat_ns and (
                now >= self._next_beat_ns + SLOW_BEAT_NS - BEAT_NS or (self.engine and self.engine.news >= MANY)
            ):
                self._next_beat_ns = now + BEAT_NS
                self._count()
            if now >= self._next_line_ns:
                self._line(now)
        except OSError as error:
            self._fail(f"{error.filename or self._run.path}: {(error.strerror or str(error)).lower()}")
        except MusterError as error:
            self._fail(str(error))
        return self.failure is None

    def due_ns(self, now: int) -> int:
        """When `step` is to be called next: when the tick behind the last one begins, or, if it has begun, now."""
        if self.engine is None:
            return now + TICK_NS
        begins = self._ticked_ns + TICK_NS - (self._ticked_ns - self.engine.start_ns) % TICK_NS
        # a generator that is whole ticks behind does better with few large steps than with many small ones
        return max(now, begins) if now < begins + TICK_NS else now + TICK_NS - (now - begins) % TICK_NS

    def prepare(self, until_ns: int) -> None:
        """Render ahead as long as it is likely to be done by then."""
        began = self._clock()
        while self.engine is not None and began + self._window_ns < until_ns and self.engine.prepare():
            ended = self._clock()
            self._window_ns += (ended - began - self._window_ns) // 8
            began = ended
        self._window_ns -= self._window_ns // 256  # one slow window must not end it for good

    def stop(self) -> None:
        """Send nothing more, wait at most one timeout for answers, write everything down."""
        self._stop_asked = True

    def _begin_to_stop(self, now: int) -> bool:
        self._stopping = True
        if self.engine is None:
            self._live.write(now, "done", None)
            return False
        assert self._pool is not None
        self.engine.stop()
        self._pool.withdraw()  # what still waits for a free connection must not leave after a stop
        self._line(now)  # says until when the schedule counts
        return True

    def _prepare(self, make_pool: Callable[..., Pool]) -> None:
        config = self._config
        recorded = self._recorded()
        self._schedule = schedule.build(
            recorded,
            duration_s=config.duration_s,
            speed=config.speed,
            amplify=config.amplify,
            sessions=config.sessions,
            seed=config.seed,
            jitter_ns=round(config.jitter_ms * MS),
            shard=config.shard,
        )
        self._storms = [(round(at / config.speed), share) for at, share in transform.reconnects(recorded)]
        encrypted = any(endpoint.tls for endpoint in self._wire.endpoints)
        context = tls.context(config.venue.get("ca_file")) if encrypted else None
        members = np.unique(self._schedule.session).tolist()
        self.sessions = len(members)
        self._pool = make_pool(
            self._wire,
            members,
            seed=config.seed,
            connections=config.connections,
            connects_per_s=config.connects_per_s,
            timeout_ns=config.timeout_ms * MS,
            tls=partial(tls.Tls, context) if context else None,
        )
        self._connect_until_ns = self._clock() + CONNECT_NS + round(1e9 * len(members) / config.connects_per_s)

    def _names(self, make_socket: Callable[..., socket.socket]) -> Names:
        """By the venue's own resolver where it names one."""
        asked = resolver_of(self._config.venue)
        only = here(self._config.venue.get("networks") or ()) if str(self._config.venue["type"]) in SANDBOXES else None
        if asked is None:
            return SystemNames(self._spawn, only=only)
        return ResolverNames(asked, only=only, make_socket=make_socket)

    def _recorded(self) -> Trace:
        """What is played: the trace behind its transforms, as far as the venue can be sent it."""
        config, first = self._config, self._config.worker in (None, 0)
        source, kind = traces.read(config.trace), str(config.venue["type"])
        check_target(source, kind, config.allow)
        recorded = transform.apply(source, transform.parse(list(config.transform), "transform"))
        venue = venues.get(kind)
        recorded, self._wire, left_out = wire_for(
            recorded, lambda part: venue.wire(part, config.run_id, config.venue, config.seed)
        )
        check_loopback(kind, self._wire, resolver_of(config.venue), config.venue.get("networks") or ())
        self._live.business = self._wire.business
        if left_out and first:
            write_atomic(self._run.load / "left-out.json", orjson.dumps(left_out))
        if config.venue.get("audit") and first:
            mark = {"seq": venue.watermark(config.venue), "t_ns": self._clock()}
            write_atomic(self._run.load / "watermark.json", orjson.dumps(mark))
        return recorded

    def _connect(self, now: int) -> None:
        assert self._pool is not None
        self._pool.poll(now)
        start = self._start_ns
        if (self._pool.all_ready() and not self._await_start) or (start is not None and now >= start - 300 * MS):
            self._start(now)
        elif now >= self._connect_until_ns and not self._pool.all_ready():
            raise ComponentError("load", f"not every session could connect within 10 s: {self._pool.last_error}")

    def _start(self, now: int) -> None:
        config, count = self._config, len(self._schedule)
        self._wire.warm(np.unique(self._schedule.row[:WARM_ROWS]).tolist())
        now = self._clock()
        assert self._pool is not None
        # writing the schedule takes time before the first send: about half a microsecond a row
        start = self._start_ns if self._start_ns is not None else now + 250 * MS + count * 500
        schedule.write(self._schedule, self._files.schedule, config.run_id, start)
        self._writer = ChunkWriter(self._files, self._spawn)
        self.engine = Engine(
            self._schedule,
            start,
            self._pool,
            self._wire,
            self._clock,
            Terms(config.outage, config.timeout_ms * MS, config.unanswered, config.seed),
            wall=time.time,
            cursor=Cursor(self._files.cursor).move,
        )

    def _reconnect(self, now: int) -> None:
        """Hang up where the trace says that many clients lost their connections at once."""
        if self._storms and self.engine and self._pool and now - self.engine.start_ns >= self._storms[0][0]:
            _, share = self._storms.pop(0)
            self._pool.disconnect(share, now)

    def _count(self) -> None:
        """Count what was sent and decided since the last beat."""
        if self.engine:
            self._live.lags(self.engine.take_lags())
        decided = self.engine.take() if self.engine else None
        if decided is not None:
            self._live.add(decided)
            self._decided.append(decided)
            self.on_decided(decided)

    def _line(self, now: int) -> None:
        self._next_line_ns = now + LIVE_NS
        self._count()
        self._live.write(now, self.engine.state.value if self.engine else "starting", self.engine)
        self._lines += 1
        if self._lines % LINES_PER_CHUNK == 0:
            self._chunk()
        if self._writer and self._writer.failure:
            raise self._writer.failure
        if not self.supervised():
            raise ComponentError("load", "its supervisor is gone")

    def _chunk(self) -> None:
        """Hand over everything that the live lines have counted."""
        if self._writer and self._decided:
            decided, self._decided = self._decided, []
            self._writer.submit(decided)

    def _close(self) -> bool:
        """The last chunk and the last line; True while chunks are still on their way."""
        assert self.engine is not None
        assert self._writer is not None
        assert self._pool is not None
        self._count()
        if self._decided:
            self._live.write(self._clock(), State.DRAINING.value, self.engine)
            self._chunk()
        if self._writer.pending:
            return True
        if self._writer.failure:
            raise self._writer.failure
        self._pool.close()
        self._live.save(self._files.histograms, self.engine, self._pool.opened, self._pool.unresolved)
        self._live.write(self._clock(), "done", self.engine)
        return False

    def _fail(self, reason: str) -> None:
        """Keep what there is, and say why it ended."""
        if self.failure:
            return
        self.failure = reason
        if self._pool:
            self._pool.close()
        try:
            self._count()
            self._live.write(self._clock(), "failed", self.engine, reason)
            self._chunk()
            deadline = self._clock() + 500 * MS
            while self._writer and self._writer.pending and self._clock() < deadline:
                time.sleep(0.005)
        except OSError:
            return  # the disk that failed us cannot take the reason either; the caller prints it
