"""The sandbox on its own Kubernetes: how soon it is up, and how soon what was lost is noticed and replaced.

Figures are medians (and worst values) of REPEAT runs. A replacement is measured from the end of the old process to the
start of the new one, so the process's own start does not count. There is no peer: nothing else runs this control plane
without containers; the peer of `up` is the same sandbox without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import orjson

from benchmarks.results import Figure, write
from sandbox.kube.api import Api

REPEAT = 5
_PATIENCE_S = 60.0
_GATEWAYS = ("gateway-0", "gateway-1")
_KILLED = ("gateway-0", "gateway-1", "engine-0", "engine-1", "nats-2")
"""Each once: a process that dies twice within seconds waits before it starts again."""


def sandbox(home: str, *words: str) -> str:
    """Run `python -m sandbox WORDS`; its output."""
    env = {**os.environ, "MUSTER_HOME": home}
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", *words], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


def timed_up(home: str, *words: str) -> float:
    """Seconds of one `up`, from a shell's view."""
    began = time.perf_counter()
    sandbox(home, "up", *words)
    return time.perf_counter() - began


class World:
    """The agent of a running sandbox, asked without delay, and its truth log."""

    def __init__(self, home: str) -> None:
        self.described = json.loads(sandbox(home, "describe"))

    def ask(self, path: str, method: str = "GET") -> object:
        """What the agent answers."""
        with urlopen(Request(self.described["agent"] + path, method=method), timeout=10) as answer:
            return orjson.loads(answer.read())

    def view(self, name: str) -> dict[str, object]:
        """One instance."""
        found = self.ask(f"/instances/{name}")
        assert isinstance(found, dict)
        return found

    def gap_ms(self, name: str, since_ns: int) -> float | None:
        """From the first end of a process of this instance after `since_ns` to the next start; None: not yet."""
        ended = None
        for line in (Path(self.described["truth_dir"]) / "agent.ndjson").read_bytes().splitlines():
            row = orjson.loads(line)
            if row["instance"] != name or row["t_ns"] < since_ns:
                continue
            if row["e"] == "exit":
                ended = row["t_ns"]
            elif row["e"] == "start" and ended is not None:
                return float(row["t_ns"] - ended) / 1e6
        return None


def until[T](ask: Callable[[], T | None]) -> T:
    """Ask until there is an answer; raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_S
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("a replacement did not come")
        time.sleep(0.02)
    return answer


def settled(world: World) -> None:
    """Wait until every instance is ready, and a little longer, so that no back-off is measured."""
    until(lambda: True if all(row["ready"] for row in _rows(world)) else None)
    time.sleep(1)


def killed(world: World, name: str) -> float:
    """SIGKILL of a process: ms until the next one starts in the same pod."""
    settled(world)
    since = time.monotonic_ns()
    os.kill(int(str(world.view(name)["pid"])), signal.SIGKILL)
    return until(lambda: world.gap_ms(name, since))


async def deleted(world: World, name: str) -> float:
    """A pod deleted through the API: ms from the end of its process to the start of its replacement's."""
    settled(world)
    since = time.monotonic_ns()
    async with Api.of(Path(world.described["kubernetes"]["kubeconfig"])) as api:
        pod = world.view(name)["pod"]
        await api.delete(f"/api/v1/namespaces/exchange/pods/{pod}", {"gracePeriodSeconds": 0})
    return until(lambda: world.gap_ms(name, since))


async def not_ready(world: World, node: str) -> float:
    """Power taken from a node: seconds until the API server says that it is not ready."""
    settled(world)
    async with Api.of(Path(world.described["kubernetes"]["kubeconfig"])) as api:
        began = time.perf_counter()
        world.ask(f"/nodes/{node}/off", "POST")
        while await _is_ready(api, node):
            await asyncio.sleep(0.01)
        took = time.perf_counter() - began
        world.ask(f"/nodes/{node}/on", "POST")
        while not await _is_ready(api, node):
            await asyncio.sleep(0.05)
    return took


async def _is_ready(api: Api, node: str) -> bool:
    found = await api.get(f"/api/v1/nodes/{node}")
    return any(row["type"] == "Ready" and row["status"] == "True" for row in found["status"]["conditions"])


def _rows(world: World) -> list[dict[str, object]]:
    rows = world.ask("/instances")
    assert isinstance(rows, list)
    return rows


def main() -> None:
    """Measure and write benchmarks/out/kubernetes.json."""
    with tempfile.TemporaryDirectory() as home:
        ups, plain = [], []
        for _ in range(REPEAT):
            plain.append(timed_up(home))
            sandbox(home, "down")
            ups.append(timed_up(home, "--kubernetes"))
            sandbox(home, "down")
        sandbox(home, "up", "--kubernetes")
        try:
            world = World(home)
            gaps = {
                "process-killed": [killed(world, name) for name in _KILLED],
                "pod-deleted": [asyncio.run(deleted(world, _GATEWAYS[turn % 2])) for turn in range(REPEAT)],
            }
            nodes = [row["name"] for row in world.described["nodes"]]
            off = [asyncio.run(not_ready(world, nodes[turn % len(nodes)])) for turn in range(REPEAT)]
        finally:
            sandbox(home, "down")
    up, beside = statistics.median(ups), statistics.median(plain)
    figures = [
        Figure("up-s", up, "s", "sandbox up without Kubernetes", up / beside),
        Figure("up-worst-s", max(ups), "s"),
    ]
    for name, values in gaps.items():
        figures.append(Figure(f"{name}-to-replacement-ms", statistics.median(values), "ms"))
        figures.append(Figure(f"{name}-to-replacement-worst-ms", max(values), "ms"))
    figures.append(Figure("node-off-to-not-ready-s", statistics.median(off), "s"))
    figures.append(Figure("node-off-to-not-ready-worst-s", max(off), "s"))
    write("kubernetes", figures)


if __name__ == "__main__":
    main()
