"""The sandbox's own cloud over stand-ins: engines in two zones, links between them, and a resolver."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import orjson

from chaoslib_ext.httpjson import Unreachable, call
from chaoslib_ext.world import World
from tests.standins import Exchange, _Server, until

ZONES = {"engine-0": "tyo-a", "engine-1": "tyo-b"}
HOSTS = {
    "gateway-0": ("tyo-a", "127.11.1.9"),
    "gateway-1": ("tyo-b", "127.11.2.9"),
    "sgp-gateway-0": ("sgp-a", "127.12.1.9"),
}
KEPT = ("PATH", "HOME", "PYTHONPATH", "LANG")


class Resolver(_Server):
    """Answers addresses by UDP, as it was told over HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def answer(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        if method == "PUT":
            self.records[parts[1]] = body
        if parts[0] != "records":
            return 200, {}
        return 200, self.records.get(parts[1], {}) if len(parts) > 1 else self.records

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._socket.recvfrom(4096)
                if not data:
                    return
                asked = dns.message.from_wire(data)
                reply = dns.message.make_response(asked)
                reply.flags |= dns.flags.AA
                name = asked.question[0].name
                if record := self.records.get(name.to_text().rstrip(".")):
                    reply.answer.append(dns.rrset.from_text(name, record["ttl"], "IN", "A", *record["values"]))
                self._socket.sendto(reply.to_wire(), peer)

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._socket.close()
        super().close()


class CloudBox:
    """Stand-ins, and the process of the cloud beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.exchange = Exchange(zones=ZONES)
        self.resolver = Resolver()
        self.describe = self._described()
        (root / "conf").mkdir(parents=True)
        (root / "state.json").write_bytes(orjson.dumps({"describe": self.describe}))
        self.process = self.start()
        self.describe["aws"] = orjson.loads((root / "conf" / "aws.json").read_bytes())

    @property
    def world(self) -> World:
        """The box as faults see it."""
        return World.from_describe(self.describe)

    def start(self, port: int = 0) -> subprocess.Popen[bytes]:
        """Start the cloud and wait until it is ready."""
        told = self.root / "conf" / "aws.json"
        told.unlink(missing_ok=True)
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        argv = [sys.executable, "-m", "sandbox.cloud", str(port), str(self.root)]
        with (self.root / "cloud.log").open("ab") as log:
            process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        until(lambda: told.exists() or process.poll() is not None, 60)
        assert process.poll() is None, (self.root / "cloud.log").read_text()
        endpoint = orjson.loads(told.read_bytes())["endpoint"]
        until(lambda: _ready(endpoint))
        until(lambda: self.resolver.records)
        return process

    def close(self) -> None:
        """End everything."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, (self.root / "cloud.log").read_text()
        self.resolver.close()
        self.exchange.close()

    def _described(self) -> dict[str, Any]:
        told = self.exchange.describe()
        for name, (zone, host) in HOSTS.items():
            region = zone.partition("-")[0]
            row = {"name": name, "service": "gateway", "zone": zone, "region": region, "host": host, "http": None}
            told["instances"].append({**row, "ports": {"http": 8080, "ws": 8081}})
        zones = sorted({row["zone"] for row in told["instances"]})
        told["nodes"] = [{"name": zone, "zone": zone, "region": zone.partition("-")[0]} for zone in zones]
        told["dns"] = {"address": self.resolver.address, "admin": self.resolver.url, "zone": "exchange.test"}
        return told


def _ready(endpoint: str) -> bool:
    try:
        return call("GET", f"{endpoint}/muster/ready")[0] == 200
    except Unreachable:
        return False


@contextlib.contextmanager
def cloudbox() -> Iterator[CloudBox]:
    """A cloud box for the time of a `with`."""
    with tempfile.TemporaryDirectory() as folder:
        box = CloudBox(Path(folder))
        try:
            yield box
        finally:
            box.close()
