"""A replay inside a Locust process: the real primitives behind gevent's, priority, and the loop that drives it.

Locust patches the standard library through gevent before it reads its file, so the engine is handed the real socket,
epoll, thread and sleep: nothing it does may yield at a place it does not choose.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import gevent
from gevent import monkey
from locust.env import Environment

from loadgen.config import LoadConfig
from loadgen.engine.replay import Replay
from loadgen.locustfiles import stats

_real_sleep = monkey.get_original("time", "sleep")
_real_socket = monkey.get_original("socket", "socket")
_real_epoll = monkey.get_original("select", "epoll")
_start_thread = monkey.get_original("_thread", "start_new_thread")

MIN_PAUSE_S = 0.0001
SPARE_NS = 150_000
"""So long before a tick nothing is rendered ahead any more."""

_METHODS = {"fix44": "FIX", "sandbox-binary": "TCP", "http": "HTTP"}

Clock = Callable[[], int]


class Stop:
    """Whether somebody asked to stop, perhaps by a signal; Locust's own handlers would cut the drain short."""

    def __init__(self) -> None:
        self.asked = False
        self.by_signal = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT; again and again where Locust takes them back."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.by_signal = True


def replay_of(config: LoadConfig, environment: Environment, **options: Any) -> Replay:  # noqa: ANN401 - of Replay
    """A replay whose operations show in Locust's statistics. Raises MusterError."""
    replay = Replay(
        config, lambda work: _start_thread(work, ()), make_socket=_real_socket, make_epoll=_real_epoll, **options
    )
    method = _method(config)
    replay.on_decided = lambda decided: stats.count(environment.stats, decided, method)
    return replay


def _method(config: LoadConfig) -> str:
    """What stands in Locust's column of types."""
    venue = config.venue
    over_rest = venue.get("transport") == "rest" or (venue.get("rest") and not venue.get("ws"))
    return _METHODS.get(str(venue.get("type")), "HTTP" if over_rest else "WS")


def play(replay: Replay, stop: Stop, clock: Clock, each: Callable[[], None] = lambda: None) -> None:
    """Drive a replay to its end; `each` is called once a tick."""
    _come_first()
    sys.setswitchinterval(0.0001)  # the thread that writes chunks must not keep the interpreter for a whole tick
    gc.collect()
    gc.freeze()
    gc.disable()  # the engine makes no cycles; a collection in the middle of a tick would be lag
    stopped = False
    while replay.step():
        each()
        if stop.asked and not stopped:
            stopped = True
            replay.stop()
        due = replay.due_ns(clock())
        gevent.idle()
        replay.prepare(due - SPARE_NS)
        # never without a pause: real-time, and late, it would starve the venue on a small machine
        _real_sleep(max(MIN_PAUSE_S, (due - clock()) / 1e9))
    gc.enable()


def monotonic() -> int:
    """ns of CLOCK_MONOTONIC."""
    return time.monotonic_ns()


def _come_first() -> None:
    """Ask to be scheduled before others: a stopwatch must not queue behind what it measures.

    Measured on two cores with eight busy processes beside it: lag p99 1.2 ms real-time, 15 ms to 34 ms otherwise.
    """
    try:
        # threads of ours, which only write files, start as ordinary ones
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        logging.getLogger("muster").warning("not allowed real-time scheduling; a busy machine will show as lag")
