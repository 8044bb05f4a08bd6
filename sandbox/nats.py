"""The order bus: configuration of its nodes, and the one stream of orders.

Nothing may find a way round the links: clients are not told of other nodes (`no_advertise`), and nodes
advertise to each other an address where nobody listens, so that the only routes are those configured, each
through its proxy. One connection a route (`pool_size: 1`), so that a cut cuts.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.api
import nats.js.errors

from sandbox.errors import SandboxError
from sandbox.links import HOST

STREAM = "ORD"
SUBJECT = "ord.tyo"
_NOWHERE = f"{HOST}:1"  # tcpmux, which no machine of today runs: a route there is refused at once
_ROUTES = ("bus-bus",)
_MAX_MEMORY = "64M"
_MAX_FILE = "4G"


def write_config(described: Mapping[str, Any], name: str, zone: str | None, conf: Path, data: Path) -> None:
    """Write the configuration of the node `name`, as it is to be started in `zone`, to `conf`/`name`.conf.

    `described` is what `describe` prints; `data` the folder that holds the volumes of all pods.
    """
    row = next(row for row in described["instances"] if row["name"] == name)
    routes = [link["listen"] for link in described["links"] if link["from"] == name and link["group"] in _ROUTES]
    (conf / f"{name}.conf").write_text(config(row, zone, routes, data / name))


def config(row: Mapping[str, Any], zone: str | None, routes: Sequence[str], store: Path) -> str:
    """The configuration of one node: its `row` of `describe`, the "host:port" it dials, and its JetStream folder."""
    dialled = ", ".join(f'"nats://{route}"' for route in routes)
    host, ports, region = row["host"], row["ports"], row["region"]
    return f"""# written by the sandbox; changes are lost
server_name: {row["name"]}
listen: {host}:{ports["client"]}
http: {host}:{ports["http"]}
server_tags: ["az:{zone}"]
ping_interval: "1s"
ping_max: 2
write_deadline: "2s"
jetstream {{
  domain: {region}
  store_dir: "{store}"
  max_mem: {_MAX_MEMORY}
  max_file: {_MAX_FILE}
  unique_tag: "az"
}}
cluster {{
  name: {region}
  listen: {host}:{ports["routes"]}
  advertise: "{_NOWHERE}"
  no_advertise: true
  pool_size: 1
  ping_interval: "1s"
  routes: [{dialled}]
}}
"""


ATTEMPT_S = 3.0


async def provision(servers: Sequence[str], replicas: int, timeout_s: float, alive: Callable[[], bool]) -> None:
    """Create the stream of orders over `servers` ("host:port"), as soon as the bus has elected its leader.

    Idempotent. Raises SandboxError naming the last answer when it is not there after `timeout_s`, or as soon as
    `alive` says that there is nobody left who runs the bus.
    """
    deadline = time.monotonic() + timeout_s
    last = "no node accepts connections"
    while time.monotonic() < deadline and alive():
        try:
            # the client's own time-outs do not cover a node that stops in the middle of a request or of the close
            async with asyncio.timeout(ATTEMPT_S):
                await _create(servers, replicas)
            return
        except (OSError, nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            last = str(error) or type(error).__name__
        await asyncio.sleep(0.05)
    if not alive():
        raise SandboxError("agent: it ended while the order bus was starting; see `sandbox logs agent`")
    raise SandboxError(f"order-bus: stream {STREAM} could not be made within {timeout_s:g} s: {last}; see logs nats-0")


async def _create(servers: Sequence[str], replicas: int) -> None:
    client = await nats.connect(
        [f"nats://{server}" for server in servers],
        allow_reconnect=False,
        connect_timeout=1,
        error_cb=_ignore,
    )
    try:
        stream = nats.js.api.StreamConfig(
            name=STREAM,
            subjects=[SUBJECT],
            num_replicas=replicas,
            storage=nats.js.api.StorageType.FILE,
            retention=nats.js.api.RetentionPolicy.LIMITS,
            allow_direct=True,  # engines read the log from any replica, also while the stream has no leader
        )
        await client.jetstream(timeout=1).add_stream(stream)
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.close()


async def _ignore(_: Exception) -> None:
    """Connection errors are raised by the call itself; the client's own report would only repeat them."""
