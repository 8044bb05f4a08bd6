"""How the load is started: Locust, as a child of the supervisor; one process, or a master with workers of its own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from drills.evidence import RunDir
from loadgen import config

PARENT = "MUSTER_LOAD_PARENT"
"""Environment variable: pid of the process that the load must not outlive."""

_LOCUSTFILE = Path(__file__).parent / "locustfiles" / "replay.py"


@dataclass(frozen=True, slots=True)
class Face:
    """What Locust shows of a replay: a web page on a port (0: none), CSV files by their prefix, an HTML report."""

    web_port: int = 0
    csv: str | None = None
    html: str | None = None


def command(config_path: Path, face: Face | None = None) -> list[str]:
    """Arguments that start the load of one configuration, `<run>/load/config.json` as LoadConfig.save wrote it.

    One process plays everything, unless the configuration asks for more workers or there is a web page: then it is a
    master, which starts its workers itself; they play on where it dies. Locust's own logs are `<run>/logs/locust*.log`,
    the counts `<run>/load/live.ndjson`; stdout stays empty. It exits 0 when the schedule was played or SIGTERM ended
    it, 1 when it failed or a worker was lost: the last live line and stderr say why. Raises DefinitionError for a
    configuration that cannot be read.
    """
    face = face or Face()
    workers = config.load(config_path).workers
    alone = workers == 1 and not face.web_port
    options = ["--users", str(workers), "--spawn-rate", str(workers), "--only-summary", "--exit-code-on-error", "0"]
    if face.web_port:
        options += ["--autostart", "--autoquit", "0", "--web-host", "127.0.0.1", "--web-port", str(face.web_port)]
    else:
        options.append("--headless")
    if not alone:
        options += ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", "0"]
        options += ["--expect-workers", str(workers)]
    if face.csv:
        options += ["--csv", face.csv]
    if face.html:
        options += ["--html", face.html]
    return [*_locust(config_path, "locust.log"), *options]


def worker_command(config_path: Path, worker: int, port: int, host: str = "127.0.0.1") -> list[str]:
    """Arguments that start worker `worker` of a configuration, whose master listens on `host`:`port`."""
    options = ["--worker", "--master-host", host, "--master-port", str(port), "--muster-worker", str(worker)]
    return [*_locust(config_path, f"locust-{worker:02d}.log"), *options]


def _locust(config_path: Path, log: str) -> list[str]:
    path = config_path.absolute()
    logs = path.parent.parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    quiet = ["--loglevel", "WARNING", "--logfile", str(logs / log)]
    return [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), *quiet, "--muster-config", str(path)]


def environment(config_path: Path) -> dict[str, str]:
    """Environment of the load process: ours, without anything that would configure Locust behind our back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    return {**kept, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}


class Supervisor:
    """The process that the load must not outlive: the one that PARENT names, else the one that started us.

    The first process of a container has none, and plays until it is done.
    """

    def __init__(self) -> None:
        named = os.environ.get(PARENT, "")
        self.pid = int(named) if named.isdecimal() else os.getppid()
        self._process: psutil.Process | None = None
        if self.pid and psutil.pid_exists(self.pid):
            self._process = psutil.Process(self.pid)

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return not self.pid or (self._process is not None and runs(self._process))


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; a zombie has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def note_workers(run_dir: Path, pids: Sequence[int]) -> None:
    """Write down which processes the master started, so that they are found where it dies."""
    started = [{"worker": k, "pid": pid, "started": psutil.Process(pid).create_time()} for k, pid in enumerate(pids)]
    (RunDir(run_dir).load / "workers.json").write_bytes(orjson.dumps(started))


def end_workers(run_dir: Path, grace_s: float) -> None:
    """End the workers of a run whose master is gone: asked first where there is time, killed at last."""
    ending = left(run_dir)
    for process in ending:
        with contextlib.suppress(psutil.Error):
            (process.terminate if grace_s else process.kill)()
    for process in psutil.wait_procs(ending, timeout=grace_s)[1] if grace_s else ():
        with contextlib.suppress(psutil.Error):
            process.kill()


def left(run_dir: Path) -> list[psutil.Process]:
    """Worker processes of a run that still run, whatever became of their master."""
    path = RunDir(run_dir).load / "workers.json"
    found = []
    for one in orjson.loads(path.read_bytes()) if path.exists() else ():
        try:
            process = psutil.Process(one["pid"])
            if process.create_time() == one["started"] and runs(process):
                found.append(process)
        except psutil.Error:
            continue
    return found
