"""Runs stock Locust users headless against the stub, pinned as the replay is, and measures them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil

from benchmarks.peers.names import ADDRESS, LAST_WORD, PACE, TUNED
from benchmarks.stub.venue import Stub, cores, pinned

WARM_UP_S = 1.0
START_S = 30.0
HERE = Path(__file__).parent
ADDRESSES = {"http_user": "http://127.0.0.1:{rest}", "ws_user": "ws://127.0.0.1:{ws}/v5/trade"}


@contextmanager
def locust(
    target: Stub, user: str, folder: Path, users: int, *, pace: float | None = None, tuned: bool = False
) -> Iterator[psutil.Popen]:
    """`users` users of the file `user`, from their first answered order on; `pace`: orders a second of all together.

    Raises SystemExit where they do not start. They are told to stop afterwards and may say their last word.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    env |= {ADDRESS: ADDRESSES[user].format_map(target.ports), LAST_WORD: str(folder / "last-word.json")}
    env |= {"PYTHONPATH": str(HERE.parent.parent)}
    env |= ({PACE: str(pace / users)} if pace else {}) | ({TUNED: "1"} if tuned else {})
    options = ["--headless", "--users", str(users), "--spawn-rate", str(users), "--only-summary"]
    quiet = ["--loglevel", "ERROR", "--logfile", str(folder / "locust.log")]
    command = [sys.executable, "-m", "locust", "-f", str(HERE / f"{user}.py"), *options, *quiet]
    before = target.answered()
    with pinned(cores().generator):
        process = psutil.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while target.answered() == before:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"locust: {user} does not start; see {folder / 'locust.log'}")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def last_word(folder: Path) -> dict[str, float]:
    """What Locust's own statistics said at the end: requests, failures, p99_ms."""
    told: dict[str, float] = orjson.loads((folder / "last-word.json").read_bytes())
    return told


def per_core(target: Stub, user: str, folder: Path, users: int, seconds: float, *, tuned: bool = False) -> float:
    """Messages answered by the stub for each CPU second of Locust, over `seconds` at full speed after a warm-up."""
    with locust(target, user, folder, users, tuned=tuned) as process:
        time.sleep(WARM_UP_S)
        cpu, answered = process.cpu_times(), target.answered()
        time.sleep(seconds)
        later, more = process.cpu_times(), target.answered()
    spent = later.user + later.system - cpu.user - cpu.system
    if failures := last_word(folder)["failures"]:
        raise SystemExit(f"locust: {failures:.0f} failures of {user}")
    return (more - answered) / spent
