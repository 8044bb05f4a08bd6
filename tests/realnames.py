"""A real resolver and a real gateway with TLS for tests, each one process, beside the stand-ins of an exchange."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chaoslib_ext import httpjson
from chaoslib_ext.certificates import VALID, look
from sandbox import certs
from sandbox.home import CHECKOUT
from sandbox.ports import allocate
from tests.standins import exchange, free_port, until

API = "api.exchange.test"
FIRST = {API: {"values": ["127.0.0.1", "127.0.0.2"]}, "tyo.api.exchange.test": {"values": ["127.0.0.1"]}}


@contextlib.contextmanager
def process(module: str, env: Mapping[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m MODULE`, gone at the end whatever happened."""
    given = {**os.environ, "PYTHONPATH": str(CHECKOUT), **{name: str(value) for name, value in env.items()}}
    started = subprocess.Popen([sys.executable, "-m", module], env=given, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


class RealResolver:
    """The resolver process; `restart` keeps its ports and its state file."""

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        (folder / "first.json").write_text(json.dumps(FIRST))
        self.dns, http = allocate(2)  # none that an outgoing connection may take while it is started again
        self._env = {
            "MUSTER_DNS_PORT": self.dns,
            "MUSTER_HTTP_PORT": http,
            "MUSTER_DNS_RECORDS": folder / "first.json",
            "MUSTER_DNS_STATE": folder / "records.json",
        }
        self.admin = f"http://127.0.0.1:{http}"
        self.described = {"address": f"127.0.0.1:{self.dns}", "admin": self.admin, "zone": "exchange.test"}
        self.restart()

    def restart(self) -> None:
        """Kill it and start it again."""
        self._stack.close()
        self._stack.enter_context(process("sandbox.dns", self._env))
        until(self._answers, 20)

    def close(self) -> None:
        """End it."""
        self._stack.close()

    def _answers(self) -> bool:
        try:
            return httpjson.call("GET", f"{self.admin}/healthz")[0] == 200
        except httpjson.Unreachable:
            return False


@contextlib.contextmanager
def resolver(folder: Path) -> Iterator[RealResolver]:
    """A resolver for the time of a `with`."""
    made = RealResolver(folder)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def exchange_with_names(folder: Path) -> Iterator[dict[str, Any]]:
    """The description of stand-ins with a real resolver."""
    with exchange() as made, resolver(folder) as names:
        yield {**made.describe(), "dns": names.described}


@contextlib.contextmanager
def exchange_with_certificates(folder: Path) -> Iterator[dict[str, Any]]:
    """The description of stand-ins with a real gateway that shows a certificate; no engine leads it."""
    ca = certs.write(folder / "tls", {"gateway-0": [API, "127.0.0.1"]})
    file = ca.with_name("gateway-0.pem")
    (folder / "secret").write_text("5ec7e7")
    ports = dict(zip(("http", "ws", "https", "wss"), allocate(4), strict=True))
    env: dict[str, object] = {
        "MUSTER_INSTANCE": "gateway-0",
        "MUSTER_ZONE": "tyo-a",
        "MUSTER_REST_PORT": ports["http"],
        "MUSTER_WS_PORT": ports["ws"],
        "MUSTER_HTTPS_PORT": ports["https"],
        "MUSTER_WSS_PORT": ports["wss"],
        "MUSTER_TLS_CERT": file,
        "MUSTER_TLS_KEY": file.with_suffix(".key"),
        "MUSTER_ENGINES": f"engine-0=127.0.0.1:{free_port()}",
        "MUSTER_SECRET_FILE": folder / "secret",
        "MUSTER_TRUTH": folder / "truth.ndjson",
    }
    with exchange() as made, process("sandbox.exchange.gateway", env) as gateway:
        until(lambda: look(f"127.0.0.1:{ports['wss']}", str(ca)) == VALID, 20)
        described = made.describe()
        described["instances"].append(
            {
                "name": "gateway-0",
                "service": "gateway",
                "zone": "tyo-a",
                "region": "tyo",
                "http": None,
                "ports": ports,
                "pid": gateway.pid,
            }
        )
        shown = {"gateway-0": {"file": str(file), "ports": ["https", "wss"]}}
        yield {**described, "tls": {"ca": str(ca), "ca_key": str(ca.with_suffix(".key")), "certificates": shown}}
