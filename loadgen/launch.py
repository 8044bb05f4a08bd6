"""How the load process is started: Locust, headless, as a child of the supervisor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PARENT = "MUSTER_LOAD_PARENT"
"""Environment variable: pid of the process that the load must not outlive."""

_LOCUSTFILE = Path(__file__).parent / "locustfiles" / "replay.py"


def command(config_path: Path) -> list[str]:
    """Arguments that start the load of one configuration, `<run>/load/config.json` as LoadConfig.save wrote it.

    Locust's own log and closing table are `<run>/logs/locust.log`, the counts `<run>/load/live.ndjson`; stdout stays
    empty. It exits 0 when the schedule was played or SIGTERM ended it, 1 when it failed: the last live line and stderr
    say why.
    """
    log = config_path.absolute().parent.parent / "logs" / "locust.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    options = ["--headless", "--users", "1", "--spawn-rate", "1", "--only-summary", "--exit-code-on-error", "0"]
    quiet = ["--loglevel", "WARNING", "--logfile", str(log)]
    config = ["--muster-config", str(config_path.absolute())]
    return [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), *options, *quiet, *config]


def environment(config_path: Path) -> dict[str, str]:
    """Environment of the load process: ours, without anything that would configure Locust behind our back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    return {**kept, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
