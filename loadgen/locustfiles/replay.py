"""Locust's face of the replay: one user multiplexes all sessions of a trace.

Locust patches the standard library through gevent before it reads this file, so the engine is handed the real socket,
epoll, thread and sleep: nothing it does may yield at a place it does not choose.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
import numpy as np
from gevent import monkey
from locust import User, events, task
from locust.env import Environment

from drills.errors import ComponentError, ExitCode, MusterError
from loadgen import config
from loadgen.engine.ops import KINDS, OK, Decided
from loadgen.engine.replay import TICK_NS, Replay
from loadgen.launch import PARENT
from loadgen.locustfiles import stats

_real_sleep = monkey.get_original("time", "sleep")
_real_socket = monkey.get_original("socket", "socket")
_real_epoll = monkey.get_original("select", "epoll")
_start_thread = monkey.get_original("_thread", "start_new_thread")

MIN_PAUSE_S = 0.0001

_stop_asked = False


def _ask_to_stop(number: int, frame: FrameType | None) -> None:
    global _stop_asked
    _stop_asked = True


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--muster-config", type=Path, required=True, help="configuration of the replay", is_secret=True)


class ReplayUser(User):
    """The one user; its task is the whole replay."""

    @task
    def replay(self) -> None:
        """Run the engine to its end, then end Locust."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ask_to_stop)  # Locust's own handlers would cut the drain short
        # Locust's closing table belongs into the log, not on stdout
        logging.getLogger("locust.stats_logger").handlers = logging.getLogger().handlers
        self.environment.process_exit_code = ExitCode.INTERNAL
        try:
            self.environment.process_exit_code = _run(self.environment)
        finally:
            # Locust would log the error and start the task, and with it the replay, anew
            error = sys.exception()
            if error is not None:
                sys.stderr.write(f"load: internal error: {type(error).__name__}: {error}\n")
            self.environment.runner.quit()


def _run(environment: Environment) -> int:
    """Exit code of the process: 0, or 1 with the reason on stderr."""
    try:
        _check_parent()
        options = environment.parsed_options
        assert options is not None
        replay = Replay(
            config.load(options.muster_config),
            lambda work: _start_thread(work, ()),
            make_socket=_real_socket,
            make_epoll=_real_epoll,
        )
    except (MusterError, OSError) as error:
        logging.getLogger("muster").error("%s", error)
        sys.stderr.write(f"{error}\n")
        return 1
    replay.on_decided = lambda decided: _count(environment, decided)
    _loop(replay)
    if replay.failure:
        sys.stderr.write(f"{replay.failure}\n")
    return 1 if replay.failure else 0


def _check_parent() -> None:
    starter = os.environ.get(PARENT, "")
    if starter.isdecimal() and not Path(f"/proc/{starter}").exists():
        raise ComponentError("load", "its supervisor was gone before it started")


def _come_first() -> None:
    """Ask to be scheduled before others: a stopwatch must not queue behind what it measures.

    Measured on two cores with eight busy processes beside it: lag p99 1.2 ms real-time, 15 ms to 34 ms otherwise.
    """
    try:
        # threads of ours, which only write files, start as ordinary ones
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        logging.getLogger("muster").warning("not allowed real-time scheduling; a busy machine will show as lag")


def _loop(replay: Replay) -> None:
    _come_first()
    gc.collect()
    gc.freeze()
    gc.disable()  # the engine makes no cycles; a collection in the middle of a tick would be lag
    clock, stopped = time.monotonic_ns, False
    due = clock()
    while replay.step():
        if _stop_asked and not stopped:
            stopped = True
            replay.stop()
        due = max(due + TICK_NS, clock())
        gevent.idle()
        # never without a pause: real-time, and late, it would starve the venue on a small machine
        _real_sleep(max(MIN_PAUSE_S, (due - clock()) / 1e9))


def _count(environment: Environment, decided: Decided) -> None:
    kinds, outcome = np.array(decided.kind), np.array(decided.outcome)
    answered = np.array(decided.answered_ns, dtype=np.int64)
    latency: Any = (answered - np.array(decided.intended_ns, dtype=np.int64)) / 1e6
    for k, kind in enumerate(KINDS):
        mine = kinds == k
        if mine.any():
            failures = int((outcome[mine] != OK).sum())
            stats.log(environment.stats, f"order.{kind}", latency[mine & (answered >= 0)], failures)
