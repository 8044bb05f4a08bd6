"""The gateway process: `python -m sandbox.exchange.gateway`, configured by environment variables only.

Clients come in by REST and WebSocket, plain or over TLS; their requests are checked here and carried out by the leading
engine. The certificate is taken anew when its file changes, or on SIGHUP.
Exit codes: 0 after SIGTERM or SIGINT, 2 for a wrong environment, 70 when a port or the truth log fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from picows import ws_create_server

from sandbox.errors import BadUse, SandboxError
from sandbox.exchange.gateway_binary import BinaryDoor
from sandbox.exchange.gateway_desk import Desk
from sandbox.exchange.gateway_links import Router
from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_outbox import Outbox
from sandbox.exchange.gateway_rest import Rest
from sandbox.exchange.gateway_sessions import MAX_FRAME, Session, accept
from sandbox.exchange.gateway_tls import Certificate
from sandbox.exchange.signing import Keyring
from sandbox.truth.log import TruthLog

DRAIN_S = 2.1
log = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What the environment says; `engines` maps a name to host and port.

    Without its port there is no binary protocol, and no TLS; `certificate` is the files of it and of its key.
    """

    instance: str
    zone: str
    rest_port: int
    ws_port: int
    engines: dict[str, tuple[str, int]]
    master: bytes
    truth: Path
    binary_port: int | None = None
    host: str = "127.0.0.1"
    https_port: int | None = None
    wss_port: int | None = None
    certificate: tuple[Path, Path] | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> GatewayConfig:
        """Read `env`; raises BadUse that names the variable."""
        secure = any(env.get(name) for name in ("MUSTER_HTTPS_PORT", "MUSTER_WSS_PORT"))
        return cls(
            instance=_get(env, "MUSTER_INSTANCE"),
            zone=_get(env, "MUSTER_ZONE"),
            rest_port=_port(_get(env, "MUSTER_REST_PORT"), "MUSTER_REST_PORT"),
            ws_port=_port(_get(env, "MUSTER_WS_PORT"), "MUSTER_WS_PORT"),
            engines=_engines(_get(env, "MUSTER_ENGINES")),
            master=_secret(Path(_get(env, "MUSTER_SECRET_FILE"))),
            truth=Path(_get(env, "MUSTER_TRUTH")),
            binary_port=_optional_port(env, "MUSTER_BINARY_PORT"),
            host=env.get("MUSTER_HOST", "127.0.0.1"),
            https_port=_optional_port(env, "MUSTER_HTTPS_PORT"),
            wss_port=_optional_port(env, "MUSTER_WSS_PORT"),
            certificate=(Path(_get(env, "MUSTER_TLS_CERT")), Path(_get(env, "MUSTER_TLS_KEY"))) if secure else None,
        )


def _get(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise BadUse(f"gateway: {name} is not set")
    return value


def _port(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise BadUse(f"gateway: {name} is not a port: {text!r}")
    return int(text)


def _optional_port(env: Mapping[str, str], name: str) -> int | None:
    return _port(env[name], name) if env.get(name) else None


def _engines(text: str) -> dict[str, tuple[str, int]]:
    engines = {}
    for part in text.split(","):
        name, equals, address = part.partition("=")
        host, _, port = address.rpartition(":")
        if not (name and equals and host):
            raise BadUse(f"gateway: MUSTER_ENGINES must be name=host:port,...: {part!r}")
        engines[name] = (host, _port(port, "MUSTER_ENGINES"))
    return engines


def _secret(path: Path) -> bytes:
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise BadUse(f"gateway: MUSTER_SECRET_FILE {path}: {error.strerror}") from None
    if not secret:
        raise BadUse(f"gateway: MUSTER_SECRET_FILE {path} is empty")
    return secret


class Gateway:
    """The parts of one gateway; `run` returns after `stop`."""

    def __init__(self, config: GatewayConfig, loop: asyncio.AbstractEventLoop) -> None:
        self._config = config
        self._stop = asyncio.Event()
        self._failure: OSError | None = None
        self._sessions: set[Session] = set()
        self._truth = TruthLog(config.truth)
        self._certificate = Certificate(*config.certificate) if config.certificate else None
        metrics = GatewayMetrics()
        if self._certificate:
            metrics.show_certificate(self._certificate)
        outbox = Outbox(loop, self._truth, metrics, self._fail)
        self.router = Router(config.instance, config.engines, outbox, metrics)
        self._desk = Desk(self.router, outbox, metrics, Keyring(config.master))
        self._binary = BinaryDoor(self._desk)

    def reload(self) -> None:
        """Take the certificate anew; nobody who is connected is dropped."""
        if self._certificate:
            self._certificate.reload()

    def stop(self) -> None:
        """Take no new clients, wait for what is pending, and end."""
        self._stop.set()

    def _fail(self, error: OSError) -> None:
        self._failure = error
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """The status page."""
        return {
            "instance": self._config.instance,
            "zone": self._config.zone,
            "leader": self.router.leader,
            "epoch": self.router.epoch,
            "connections": len(self._sessions) + len(self._binary.sessions),
            "clock": time.time(),
        }

    async def run(self) -> None:
        """Serve until stopped; raises OSError when a port or the truth log fails."""
        runner = web.AppRunner(Rest(self._desk, self.status).application(), access_log=None)
        await runner.setup()
        links = asyncio.create_task(self.router.run())
        links.add_done_callback(lambda _task: self._stop.set())
        watch = asyncio.create_task(self._certificate.watch()) if self._certificate else None
        try:
            servers = await self._listen(runner)
            gc.collect()
            gc.freeze()
            log.info("ready: rest %d ws %d", self._config.rest_port, self._config.ws_port)
            await self._stop.wait()
            for server in servers:
                server.close()
            await self._drain()
        finally:
            if watch:
                watch.cancel()
            links.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await links
            for link in self.router.links:
                link.drop()
            await runner.cleanup()
            self._truth.close()
        if self._failure is not None:
            raise self._failure

    async def _listen(self, runner: web.AppRunner) -> list[asyncio.Server]:
        config = self._config
        context = self._certificate.context if self._certificate else None
        await web.TCPSite(runner, config.host, config.rest_port, shutdown_timeout=0.5).start()
        if config.https_port is not None:
            await web.TCPSite(runner, config.host, config.https_port, ssl_context=context, shutdown_timeout=0.5).start()
        make = partial(ws_create_server, partial(accept, self._desk, self._sessions), config.host)
        servers = [await make(config.ws_port, max_frame_size=MAX_FRAME)]
        if config.wss_port is not None:
            servers.append(await make(config.wss_port, max_frame_size=MAX_FRAME, ssl=context))
        if config.binary_port is not None:
            servers.append(await self._binary.open(config.host, config.binary_port))
        return servers

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_S
        while self._failure is None and self.router.pending and loop.time() < deadline:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the outbox writes at the end of a tick
        for session in list(self._sessions):
            session.close()
        self._binary.close()


async def serve(config: GatewayConfig) -> None:
    """Run a gateway until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    gateway = Gateway(config, loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stop)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload)
    await gateway.run()


def main() -> int:
    """Run the process; one line on stderr for what is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("picows").setLevel(logging.WARNING)  # it logs every connection
    try:
        uvloop.run(serve(GatewayConfig.from_env(os.environ)))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return SandboxError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
