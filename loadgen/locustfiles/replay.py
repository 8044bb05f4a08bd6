"""Locust's face of the replay: one process plays all sessions of a trace, or a master has workers that share them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from gevent.event import Event
from locust import User, events, runners, task
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, Runner, WorkerRunner

from drills.errors import ComponentError, ExitCode, MusterError
from loadgen import config
from loadgen.launch import PARENT, Supervisor
from loadgen.locustfiles.cluster_master import Master
from loadgen.locustfiles.cluster_worker import Worker
from loadgen.locustfiles.playing import Stop, monotonic, play, replay_of

if PARENT in os.environ:
    # our master runs before we are started: one that does not answer is gone. In times of 5 s
    runners.CONNECT_RETRY_COUNT = 4


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: argparse.ArgumentParser) -> None:
    # texts, for a master hands its options to its workers
    parser.add_argument("--muster-config", required=True, help="configuration of the replay", is_secret=True)
    parser.add_argument("--muster-worker", type=int, default=-1, help="number of this worker", is_secret=True)
    parser.add_argument("--muster-run-dir", default="", help="folder of the run on this host", is_secret=True)
    parser.add_argument("--muster-remote", action="store_true", help="workers come from elsewhere", is_secret=True)
    parser.add_argument("--muster-stay", action="store_true", help="end on SIGTERM only", is_secret=True)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, runner: Runner, **rest: Any) -> None:  # noqa: ANN401 - Locust's
    # Locust's closing table belongs into the log, not on stdout
    logging.getLogger("locust.stats_logger").handlers = logging.getLogger().handlers
    environment.process_exit_code = ExitCode.INTERNAL
    if isinstance(runner, MasterRunner):
        Master(environment, runner).begin()
    elif isinstance(runner, WorkerRunner):
        Worker(environment, runner).begin()


class ReplayUser(User):
    """Locust starts one in each process; without a master its task is the whole replay."""

    @task
    def replay(self) -> None:
        """Run the engine to its end, then end Locust; a worker's engine runs beside Locust's users."""
        if not isinstance(self.environment.runner, LocalRunner):
            Event().wait()
        stop = Stop()
        stop.listen()
        try:
            self.environment.process_exit_code = _run(self.environment, stop)
        finally:
            # Locust would log the error and start the task, and with it the replay, anew
            error = sys.exception()
            if error is not None:
                sys.stderr.write(f"load: internal error: {type(error).__name__}: {error}\n")
            self.environment.runner.quit()


def _run(environment: Environment, stop: Stop) -> int:
    """Exit code of the process: 0, or 1 with the reason on stderr."""
    supervisor = Supervisor()
    options = environment.parsed_options
    assert options is not None
    try:
        if not supervisor.alive():
            raise ComponentError("load", "its supervisor was gone before it started")
        replay = replay_of(config.load(Path(options.muster_config)), environment)
    except (MusterError, OSError) as error:
        logging.getLogger("muster").error("%s", error)
        sys.stderr.write(f"{error}\n")
        return 1
    play(replay, stop, monotonic)
    if replay.failure:
        sys.stderr.write(f"{replay.failure}\n")
    return 1 if replay.failure else 0
