"""The order bus from outside: JetStream's own API, asked through nats-py on connections that last one question."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from chaoslib_ext.world import Instance
from drills.errors import FaultError

ASK_S = 2.0
WITHIN_S = 12.0
"""An election takes up to 9 s, and until it is over nobody answers."""

LOOK_S = 0.02
UNAVAILABLE = 503
"""Code of an answer that the bus has no leader for this right now."""


def ask(
    nodes: Sequence[Instance],
    subject: str,
    body: object = None,
    *,
    within_s: float = WITHIN_S,
    domain: str | None = None,
) -> dict[str, Any]:
    """The answer of JetStream's API (`$JS.API.` + subject), asked again while nobody answers or there is no leader.

    `domain`: another region's, asked through the links between them.
    Everything that is asked here may be asked twice. Raises FaultError where there is no answer within `within_s`
    seconds, or where the answer is an error.
    """
    deadline = time.monotonic() + within_s
    prefix = "$JS.API" if domain is None else f"$JS.{domain}.API"
    while True:
        try:
            answer = asyncio.run(asyncio.wait_for(_ask(nodes, f"{prefix}.{subject}", body), min(ASK_S, within_s)))
        except (OSError, TimeoutError) as error:
            answer = {"error": {"code": UNAVAILABLE, "description": str(error) or "no answer"}}
        failed = answer.get("error")
        if not failed:
            return answer
        if failed.get("code") != UNAVAILABLE or time.monotonic() >= deadline:
            names = ", ".join(one.name for one in nodes) or "no node"
            raise FaultError(f"order bus ({names}): {subject}: {failed.get('description', failed)}")
        time.sleep(LOOK_S)


async def _ask(nodes: Sequence[Instance], subject: str, body: object) -> dict[str, Any]:
    import nats
    from nats.errors import Error

    servers = [f"nats://{one.address('client')}" for one in nodes]
    try:
        client = await nats.connect(
            servers, allow_reconnect=False, connect_timeout=1, max_reconnect_attempts=1, error_cb=_ignore
        )
        try:
            data = b"" if body is None else json.dumps(body).encode()
            answer = await client.request(subject, data, timeout=ASK_S)
            return dict(json.loads(answer.data))
        finally:
            await client.close()
    except Error as error:
        raise OSError(str(error) or type(error).__name__) from error


async def _ignore(_: Exception) -> None:
    """Errors are raised by the call itself."""


def streams(nodes: Sequence[Instance]) -> dict[str, dict[str, Any]]:
    """Every stream of this domain by name: its `config`, `state`, `cluster` and, for a mirror, `mirror`."""
    listed = ask(nodes, "STREAM.LIST").get("streams") or ()
    return {str(one["config"]["name"]): one for one in listed}


def info(nodes: Sequence[Instance], stream: str, within_s: float = WITHIN_S) -> dict[str, Any]:
    """One stream as its leader tells it. Raises FaultError."""
    return ask(nodes, f"STREAM.INFO.{stream}", within_s=within_s)


def leader(nodes: Sequence[Instance], stream: str) -> str | None:
    """The node that leads a stream; None where nobody does."""
    found = (info(nodes, stream).get("cluster") or {}).get("leader")
    return str(found) if found else None


def move_leaders(nodes: Sequence[Instance], away_from: Collection[str], within_s: float) -> list[str]:
    """Have the leader of every stream step down that is one of `away_from`; one sentence each.

    Raises FaultError where a stream has no leader elsewhere after `within_s` seconds.
    """
    return [text for name in streams(nodes) if (text := _move(nodes, name, away_from, within_s))]


def _move(nodes: Sequence[Instance], stream: str, away_from: Collection[str], within_s: float) -> str | None:
    was = leader(nodes, stream)
    if was not in away_from:
        return None
    deadline = time.monotonic() + within_s
    while True:
        # a follower that leaves too may win the election: then it is asked as well
        ask(nodes, f"STREAM.LEADER.STEPDOWN.{stream}")
        now = _until(lambda: leader(nodes, stream), deadline)
        if now is not None and now not in away_from:
            return f"stream {stream} is led by {now}, before by {was}"
        if time.monotonic() >= deadline:
            raise FaultError(f"stream {stream} is led by {now or 'nobody'} after {within_s:g} s, not outside")


def _until(look: Callable[[], str | None], deadline: float) -> str | None:
    while (seen := look()) is None and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return seen


def await_mirror(
    nodes: Sequence[Instance], name: str, origins: Sequence[Instance], origin: str, within_s: float
) -> int:
    """Wait until a stream has what its origin had when this was asked, and return how many entries that are.

    Both ends are asked for their last entry: what a mirror says of its own lag is as of the last entry that reached it.
    Raises FaultError where it is still behind after `within_s` seconds.
    """
    wanted, deadline = int(info(origins, origin)["state"]["last_seq"]), time.monotonic() + within_s
    while (have := int(info(nodes, name)["state"]["last_seq"])) < wanted:
        if time.monotonic() >= deadline:
            raise FaultError(f"{name} is {wanted - have} entries behind {origin} after {within_s:g} s")
        time.sleep(LOOK_S)
    return wanted


def parting(nodes: Sequence[Instance], stream: str, others: Sequence[Instance], other: str) -> int:
    """The first sequence number at which a stream and another of the same beginning differ, or one of them ends.

    By halving: after the point at which they part, nothing is the same. Raises FaultError.
    """
    last = min(int(info(nodes, stream)["state"]["last_seq"]), int(info(others, other)["state"]["last_seq"]))
    same, different = 0, last + 1
    while different - same > 1:
        middle = (same + different) // 2
        if _entry(nodes, stream, middle) == _entry(others, other, middle):
            same = middle
        else:
            different = middle
    return different


def _entry(nodes: Sequence[Instance], stream: str, sequence: int) -> str:
    return str(ask(nodes, f"STREAM.MSG.GET.{stream}", {"seq": sequence})["message"].get("data", ""))
