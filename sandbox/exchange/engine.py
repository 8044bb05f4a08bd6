"""The matching-engine process: `python -m sandbox.exchange.engine`, configured by environment variables only.

MUSTER_INSTANCE MUSTER_ZONE MUSTER_HTTP_PORT MUSTER_ORDERS_PORT MUSTER_NATS MUSTER_TRUTH
MUSTER_HOST (127.0.0.1) MUSTER_STREAM (ORD) MUSTER_LEASE_MS (1000) MUSTER_PREFERRED (0) MUSTER_PLANT (none)
MUSTER_FENCE (none: a fence is memory): the file that a fence is, relative to the working directory

An engine is always in one of two loops: it follows the log until it leads, and leads until it has stepped down.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop

from sandbox.exchange import audit_http, engine_links
from sandbox.exchange.engine_core import Core
from sandbox.exchange.engine_early import EarlyLeader
from sandbox.exchange.engine_follow import Follower
from sandbox.exchange.engine_lead import Leader, UnfencedLeader
from sandbox.exchange.engine_metrics import EngineMetrics
from sandbox.exchange.engine_replica import Replica
from sandbox.exchange.fence import Fence
from sandbox.exchange.leadership import Leadership
from sandbox.exchange.orderlog import STREAM, LogBroken, OrderLog
from sandbox.exchange.plants import Plants
from sandbox.truth.log import TruthLog

EXIT_BAD_USE = 2
EXIT_INTERNAL = 70
_HOUSEKEEPING_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """What the environment says; `lease_s` in seconds, `nats` as host:port with the preferred link first."""

    instance: str
    zone: str
    http_port: int
    orders_port: int
    nats: tuple[str, ...]
    truth: Path
    lease_s: float
    preferred: bool
    plants: Plants
    host: str = "127.0.0.1"
    stream: str = STREAM
    fence: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Read the variables; raises KeyError for a missing one and ValueError for one that is no number."""
        return cls(
            instance=environment["MUSTER_INSTANCE"],
            zone=environment["MUSTER_ZONE"],
            http_port=int(environment["MUSTER_HTTP_PORT"]),
            orders_port=int(environment["MUSTER_ORDERS_PORT"]),
            nats=tuple(server.strip() for server in environment["MUSTER_NATS"].split(",")),
            truth=Path(environment["MUSTER_TRUTH"]),
            lease_s=int(environment.get("MUSTER_LEASE_MS", "1000")) / 1000,
            preferred=environment.get("MUSTER_PREFERRED", "0") == "1",
            plants=Plants.from_environment(environment),
            host=environment.get("MUSTER_HOST", "127.0.0.1"),
            stream=environment.get("MUSTER_STREAM", STREAM),
            fence=Path(environment["MUSTER_FENCE"]) if environment.get("MUSTER_FENCE") else None,
        )


def build(config: Config) -> tuple[Core, Follower, Leader]:
    """The parts of one engine, not yet connected to anything."""
    core = Core(
        name=config.instance,
        zone=config.zone,
        log=OrderLog(config.nats, config.instance, config.stream),
        truth=TruthLog(config.truth),
        replica=Replica(forget_ids=config.plants.forget_ids),
        leadership=Leadership(config.instance, config.lease_s, config.preferred, time.monotonic(), Fence(config.fence)),
        plants=config.plants,
        metrics=EngineMetrics(),
    )
    follower = Follower(core)
    if config.plants.early_reply:
        return core, follower, EarlyLeader(core, follower)
    if config.plants.no_fence:
        return core, follower, UnfencedLeader(core, follower)
    return core, follower, Leader(core, follower)


async def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; raises OSError for a taken port, LogBroken for a log that lost entries."""
    core, follower, leader = build(config)
    core.truth.append([core.record("start", pid=os.getpid())])
    http = await audit_http.serve(core, config.host, config.http_port)
    server = await engine_links.serve(core, config.host, config.orders_port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [
        asyncio.create_task(_follow_and_lead(core, follower, leader)),
        asyncio.create_task(engine_links.keep_telling(core)),
        asyncio.create_task(_housekeeping()),
        asyncio.create_task(stop.wait()),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if core.leading:
            core.step_down("asked to stop")
        core.truth.append([core.record("stop")])
        server.close()
        await http.cleanup()
        await core.log.close()


async def _follow_and_lead(core: Core, follower: Follower, leader: Leader) -> None:
    await core.log.connect()
    while True:
        await follower.follow()
        await leader.lead()


async def _housekeeping() -> None:
    """Collect young garbage on our own beat: the journal only grows, and a full collection of it would stop trading."""
    gc.disable()
    while True:
        gc.collect(1)
        gc.freeze()
        await asyncio.sleep(_HOUSEKEEPING_S)


def main() -> int:
    """Run one engine; the exit code of the process."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = Config.from_environment(os.environ)
    except KeyError as error:
        _log.error("the environment variable %s is missing", error.args[0])
        return EXIT_BAD_USE
    except ValueError as error:
        _log.error("an environment variable is no number: %s", error)
        return EXIT_BAD_USE
    try:
        uvloop.run(run(config))
    except (OSError, LogBroken) as error:
        _log.error("%s: %s", config.instance, error)
        return EXIT_INTERNAL
    return 0


if __name__ == "__main__":
    sys.exit(main())
