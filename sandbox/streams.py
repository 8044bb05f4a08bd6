"""The order stream and its mirror in the other region: made, promoted, and turned round for the way back.

The stream ORD of the first region takes the orders; in every other region its mirror follows it over the WAN. A mirror
takes no orders, so no engine there can lead, until it is promoted: one update of its configuration, on the domain that
holds it, without the other side's help. Whether the other side still takes orders it cannot know: whoever promotes
sees to that first (`POST /admin/fence` of the engines there).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import nats
import nats.errors
import nats.js.api
import nats.js.errors
from nats.aio.client import Client

from sandbox.errors import SandboxError

STREAM = "ORD"
MIRROR = "ORDDR"
SUBJECT = "ord.tyo"
ATTEMPT_S = 3.0
_RETRY_S = 0.05
_FRESH_NS = 2_000_000_000
TROUBLE = (OSError, nats.errors.Error, nats.js.errors.Error, TimeoutError)
"""What the calls raise where the bus does not answer, or says no."""


@asynccontextmanager
async def connected(servers: Sequence[str]) -> AsyncIterator[Client]:
    """A client of the region whose order bus is at `servers` ("host:port"); raises what nats-py raises."""
    client = await nats.connect(
        [f"nats://{server}" for server in servers], allow_reconnect=False, connect_timeout=1, error_cb=_ignore
    )
    try:
        yield client
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.close()


async def create(servers: Sequence[str], replicas: int) -> None:
    """Create the stream of orders, if it is not there."""
    async with connected(servers) as client:
        await client.jetstream(timeout=1).add_stream(_config(STREAM, replicas).evolve(subjects=[SUBJECT]))


async def mirror(
    servers: Sequence[str], replicas: int, name: str = MIRROR, of: str = STREAM, domain: str = "tyo"
) -> None:
    """Create `name` as the mirror of the stream `of` in another domain, if it is not there.

    The other domain has to answer: a mirror that does not find its origin at once looks again only after a long time.
    """
    async with connected(servers) as client:
        await client.jetstream(timeout=1, domain=domain).stream_info(of)
        await client.jetstream(timeout=1).add_stream(_config(name, replicas).evolve(mirror=_source(of, domain)))


async def follows(servers: Sequence[str], name: str = MIRROR) -> bool:
    """Whether the mirror hears its origin."""
    async with connected(servers) as client:
        heard = (await client.jetstream(timeout=1).stream_info(name)).mirror
    return heard is not None and heard.active is not None and 0 <= heard.active < _FRESH_NS


async def last_sequence(servers: Sequence[str], name: str) -> int:
    """The last sequence of a stream: a mirror has everything when it ends where its origin ends.

    (What a mirror says of its own lag is as of the last entry that reached it.)
    """
    async with connected(servers) as client:
        return (await client.jetstream(timeout=1).stream_info(name)).state.last_seq


async def promote(servers: Sequence[str], name: str = MIRROR) -> int:
    """Make the mirror `name` a stream that takes orders, and return its last sequence; idempotent.

    `servers` are those of the domain that holds it. What its origin had acknowledged beyond that sequence is lost here.
    """
    async with connected(servers) as client:
        js = client.jetstream(timeout=1)
        config = (await js.stream_info(name)).config
        info = await js.update_stream(config.evolve(mirror=None, subjects=[SUBJECT]))
    return info.state.last_seq


async def demote(servers: Sequence[str], name: str, of: str, domain: str) -> None:
    """Throw the stream `name` away and mirror `of` in its place: a region that was fenced off, before it comes back.

    Its engines hold what was thrown away, and must be started anew.
    """
    async with connected(servers) as client:
        js = client.jetstream(timeout=1)
        await client.jetstream(timeout=1, domain=domain).stream_info(of)  # as `mirror` does
        old = (await js.stream_info(name)).config
        await js.delete_stream(name)
        await js.add_stream(_config(name, old.num_replicas or 1).evolve(mirror=_source(of, domain)))


async def until_made(
    act: Callable[[], Awaitable[None]], what: str, timeout_s: float, alive: Callable[[], bool]
) -> None:
    """Repeat `act` until it succeeds, as soon as the bus has elected its leader.

    Raises SandboxError naming `what` and the last answer when it did not within `timeout_s`, or as soon as `alive` says
    that there is nobody left who runs the bus.
    """
    deadline = time.monotonic() + timeout_s
    last = "no node accepts connections"
    while time.monotonic() < deadline and alive():
        try:
            # the client's own time-outs do not cover a node that stops in the middle of a request or of the close
            async with asyncio.timeout(ATTEMPT_S):
                await act()
            return
        except TROUBLE as error:
            last = str(error) or type(error).__name__
        await asyncio.sleep(_RETRY_S)
    if not alive():
        raise SandboxError("agent: it ended while the order bus was starting; see `sandbox logs agent`")
    raise SandboxError(f"order-bus: {what} could not be made within {timeout_s:g} s: {last}; see logs nats-0")


def _config(name: str, replicas: int) -> nats.js.api.StreamConfig:
    return nats.js.api.StreamConfig(
        name=name,
        num_replicas=replicas,
        storage=nats.js.api.StorageType.FILE,
        retention=nats.js.api.RetentionPolicy.LIMITS,
        allow_direct=True,  # engines read the log from any replica, also while the stream has no leader
    )


def _source(of: str, domain: str) -> nats.js.api.StreamSource:
    return nats.js.api.StreamSource(of, external=nats.js.api.ExternalStream(f"$JS.{domain}.API", ""))


async def _ignore(_: Exception) -> None:
    """Connection errors are raised by the call itself; the client's own report would only repeat them."""
