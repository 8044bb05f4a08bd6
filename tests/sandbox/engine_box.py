"""A bus of three nodes and engines without an agent, for tests of the engine process alone."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import orjson

ZONES = "abc"
NATS_SERVER = Path(sys.executable).parent / "nats-server"


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until[T](what: str, probe: Callable[[], T], timeout_s: float = 20.0) -> T:
    """Poll `probe` until it gives something true; fails with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s, last seen: {value!r}")
        time.sleep(0.005)


class EngineBox:
    """Three nats-servers with the stream ORD, and engines by name."""

    def __init__(self, folder: Path, plant: str = "", lease_ms: int = 1000) -> None:
        self.folder = folder
        self.plant = plant
        self.lease_ms = lease_ms
        ports = free_ports(6)
        self.clients, self._routes = ports[:3], ports[3:]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.http: dict[str, int] = {}
        self.orders: dict[str, int] = {}

    def start_node(self, zone: str) -> None:
        index = ZONES.index(zone)
        name = f"nats-{index}"
        routes = ",".join(f'"nats://127.0.0.1:{port}"' for i, port in enumerate(self._routes) if i != index)
        conf = self.folder / f"{name}.conf"
        conf.write_text(
            f"server_name: {name}\nlisten: 127.0.0.1:{self.clients[index]}\n"
            f'jetstream {{ domain: tyo, store_dir: "{self.folder}/{name}" }}\n'
            f"cluster {{ name: tyo, listen: 127.0.0.1:{self._routes[index]}, pool_size: 1, no_advertise: true,"
            f" routes: [{routes}] }}\n"
        )
        self._spawn(name, [str(NATS_SERVER), "-c", str(conf)], {})

    def start_engine(self, name: str, zone: str, **extra: str) -> None:
        if name not in self.http:
            self.http[name], self.orders[name] = free_ports(2)
        first = ZONES.index(zone)
        links = [f"127.0.0.1:{self.clients[(first + i) % 3]}" for i in range(3)]
        environment = {
            "MUSTER_INSTANCE": name,
            "MUSTER_ZONE": f"tyo-{zone}",
            "MUSTER_HTTP_PORT": str(self.http[name]),
            "MUSTER_ORDERS_PORT": str(self.orders[name]),
            "MUSTER_NATS": ",".join(links),
            "MUSTER_TRUTH": str(self.folder / f"{name}.ndjson"),
            "MUSTER_LEASE_MS": str(self.lease_ms),
            "MUSTER_PREFERRED": "1" if name == "engine-0" else "0",
            "MUSTER_PLANT": self.plant,
        }
        self._spawn(name, [sys.executable, "-m", "sandbox.exchange.engine"], environment | extra)

    def up(self) -> None:
        for zone in ZONES:
            self.start_node(zone)
        asyncio.run(self._provision())
        self.start_engine("engine-0", "a")
        self.start_engine("engine-1", "b")
        until("engine-0 leads", lambda: self.role("engine-0") == "primary")
        until("engine-1 follows", lambda: self.role("engine-1") == "standby")

    def down(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes.values():
            process.wait(10)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self.processes[name].wait(10)

    def get(self, name: str, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http[name]}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return None

    def status(self, name: str) -> dict[str, Any]:
        body = self.get(name, "/status")
        return {} if body is None else dict(orjson.loads(body))

    def role(self, name: str) -> str | None:
        return self.status(name).get("role")

    def journal(self, name: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in (self.get(name, "/audit/journal") or b"").splitlines()]

    def truth(self, name: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in (self.folder / f"{name}.ndjson").read_bytes().splitlines()]

    def wait_equal(self, *names: str) -> None:
        """Until all named engines stand at the same command with the same hash."""

        def equal() -> bool:
            seen = {(each.get("applied_seq"), each.get("hash")) for each in map(self.status, names)}
            return len(seen) == 1 and None not in next(iter(seen))

        until(f"{names} hold the same state", equal)

    async def _connect(self) -> Any:  # noqa: ANN401 - nats-py is not typed
        async def ignore(error: Exception) -> None:
            del error

        urls = [f"nats://127.0.0.1:{port}" for port in self.clients]
        return await nats.connect(urls, error_cb=ignore, reconnect_time_wait=0.05, connect_timeout=0.5)

    async def _api(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        client = await self._connect()
        try:
            answer = await client.request(f"$JS.API.{subject}", json.dumps(body).encode(), timeout=1)
            return dict(orjson.loads(answer.data))
        except (nats.errors.Error, TimeoutError) as error:
            return {"error": repr(error)}
        finally:
            await client.close()

    async def _provision(self) -> None:
        stream = {"name": "ORD", "subjects": ["ord.tyo"], "num_replicas": 3, "storage": "file"}
        deadline = time.monotonic() + 20
        while "error" in (answer := await self._api("STREAM.CREATE.ORD", stream)):
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.05)

    def stream_leader(self) -> str:
        """The node that leads the stream's Raft group."""
        answer = asyncio.run(self._api("STREAM.INFO.ORD", {}))
        return str(answer.get("cluster", {}).get("leader", ""))

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=os.environ | environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )


@contextmanager
def engine_box(folder: Path, plant: str = "", lease_ms: int = 1000) -> Iterator[EngineBox]:
    """A running box that leaves nothing behind."""
    box = EngineBox(folder, plant, lease_ms)
    try:
        box.up()
        yield box
    finally:
        box.down()
