"""The resolver process: `python -m sandbox.dns`, configured by environment variables only.

MUSTER_DNS_PORT (UDP and TCP), MUSTER_HTTP_PORT; MUSTER_HOST (127.0.0.1), MUSTER_DNS_ZONE (exchange.test),
MUSTER_DNS_TTL (5: seconds, of a record that names none), MUSTER_DNS_RECORDS (a file of the first records) and
MUSTER_DNS_STATE (a file that keeps them: what it holds goes before the first ones).
Exit codes: 0 after SIGTERM or SIGINT, 2 for a wrong environment or file, 70 when a port is taken.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dns.message
import uvloop
from aiohttp import web

from sandbox.dns.admin import Admin, DnsMetrics
from sandbox.dns.messages import respond
from sandbox.dns.server import DnsServer
from sandbox.dns.zone import LONGEST_TTL_S, TTL_S, Zone
from sandbox.errors import BadUse, SandboxError
from sandbox.home import read_json, write_json

ZONE = "exchange.test"
log = logging.getLogger("resolver")


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """What the environment says."""

    instance: str
    host: str
    dns_port: int
    http_port: int
    zone: str = ZONE
    ttl: int = TTL_S
    records: Path | None = None
    state: Path | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> DnsConfig:
        """Read `env`; raises BadUse that names the variable."""
        return cls(
            instance=env.get("MUSTER_INSTANCE") or "resolver",
            host=env.get("MUSTER_HOST") or "127.0.0.1",
            dns_port=_number(env, "MUSTER_DNS_PORT", 65535),
            http_port=_number(env, "MUSTER_HTTP_PORT", 65535),
            zone=env.get("MUSTER_DNS_ZONE") or ZONE,
            ttl=_number(env, "MUSTER_DNS_TTL", LONGEST_TTL_S) if env.get("MUSTER_DNS_TTL") else TTL_S,
            records=_path(env, "MUSTER_DNS_RECORDS"),
            state=_path(env, "MUSTER_DNS_STATE"),
        )


def _number(env: Mapping[str, str], name: str, most: int) -> int:
    text = env.get(name, "")
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= most):
        raise BadUse(f"resolver: {name} is not a number from 1 to {most}: {text!r}")
    return int(text)


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


def zone_of(config: DnsConfig) -> Zone:
    """The zone as it was kept, or as it is to begin. Raises BadUse for a file with a wrong record, or none at all."""
    zone = Zone(config.zone, config.ttl)
    kept = read_json(config.state) if config.state else None
    if kept is None and config.records:
        kept = read_json(config.records)
        if kept is None:
            raise BadUse(f"resolver: MUSTER_DNS_RECORDS {config.records} holds no JSON object")
    zone.load(kept or {})
    return zone


async def serve(config: DnsConfig) -> None:
    """Answer until SIGTERM or SIGINT; raises OSError where a port is taken."""
    zone = zone_of(config)
    metrics = DnsMetrics(zone)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def save() -> None:
        if config.state:
            write_json(config.state, {name: record.shown() for name, record in zone.records.items()})

    respond(
        zone, dns.message.make_query(f"_.{config.zone}", "A", use_edns=True).to_wire()
    )  # what is loaded late is loaded now
    server = DnsServer(zone, metrics.count)
    runner = web.AppRunner(Admin(zone, metrics, save, config.instance).application(), access_log=None)
    await runner.setup()
    try:
        await server.open(config.host, config.dns_port)
        await web.TCPSite(runner, config.host, config.http_port, shutdown_timeout=0.2).start()
        log.info("ready: dns %s:%d, %d records", config.host, config.dns_port, len(zone.records))
        await stop.wait()
    finally:
        server.close()
        await runner.cleanup()


def main() -> int:
    """Run the process; one line on stderr for what is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        uvloop.run(serve(DnsConfig.from_env(os.environ)))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"resolver: {error}\n")
        return SandboxError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
