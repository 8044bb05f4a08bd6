"""Faults on processes and hosts: two small instances under the real node agent."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from chaoslib_ext.world import World
from tests.contract.faultcases import Box, Case
from tests.sandbox import host_stand_in
from tests.sandbox.box import TestBox
from tests.standins import Toxiproxy, until

HOST = ("host",)
NOWHERE = {"instance": "box-7"}

CASES = {
    "process.restart-storm": Case(
        {"instance": "engine-0", "every": "5s"}, "SIGKILL engine-0 every 5s", {"instance": "engine-7"}, ("stand-in",)
    ),
    "host.cpu-starve": Case(
        {"instance": "box-0", "share": "70%"},
        "keep box-0 from running for 70% of every 40 ms",
        NOWHERE,
        HOST,
    ),
    "host.memory-stress": Case(
        {"mb": 256, "instance": "box-0"}, "take 256 MB of memory beside box-0", {"mb": 1, **NOWHERE}, HOST
    ),
    "host.fd-exhaustion": Case({"instance": "box-0"}, "let box-0 open no more files", NOWHERE, HOST),
    "disk.full": Case({"service": "box", "mb": 4}, "start box-0, box-1 again on a full disk of 4 MB", NOWHERE, HOST),
    "disk.slow-fsync": Case(
        {"instance": "box-0", "ms": 80},
        "start box-0 again with an fsync that takes 80 ms longer",
        {"ms": 1, **NOWHERE},
        HOST,
    ),
    "clock.skew": Case(
        {"instance": "box-0", "by": "-90s"},
        "start box-0 again with a clock that is 90s behind",
        {"by": "+1s", **NOWHERE},
        HOST,
    ),
}


def leftover_clocks() -> list[str]:
    """What libfaketime kept in memory for processes that have ended; other tests may run some at the same time."""
    clocks = [name for name in os.listdir("/dev/shm") if "faketime" in name]
    return [name for name in clocks if not psutil.pid_exists(int(name.rpartition("_")[2]))]


@contextlib.contextmanager
def hosts() -> Iterator[tuple[TestBox, World]]:
    """Two instances `box-0`, `box-1` of service `box` under a real agent, and no links."""
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        made = TestBox(Path(home))
        command = f'"${{PYTHON}}", "-S", "-E", {host_stand_in.__file__}, "${{PORT:http}}"'
        for name in ("box-0", "box-1"):
            made.pod(name, f"[{command}, {name}]")
            text = (made.manifests / f"{name}.yaml").read_text().replace("app: web", "app: box")
            (made.manifests / f"{name}.yaml").write_text(text)
        links = Toxiproxy({})
        stack.callback(links.close)
        made.up()
        try:
            world = World.from_describe({**made.describe(), "toxiproxy": links.url})
            yield made, world
        finally:
            assert made.run("down").returncode == 0
            assert made.processes() == []
            until(lambda: not leftover_clocks())


@contextlib.contextmanager
def _host() -> Iterator[World]:
    with hosts() as (_, world):
        until(lambda: all(one.ready for one in world.agent.instances()))
        yield world


BOXES = {"host": Box(_host, shared=True)}
