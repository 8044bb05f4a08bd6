"""The latency of the links between regions, given to Toxiproxy each time that it starts.

Its configuration file holds proxies but no toxics, so these links begin closed and are opened once they are slow: not
one message crosses the WAN at the speed of loopback, also when a fault has just killed Toxiproxy.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout

from sandbox.links import WAN, WAN_MS

TOXIC = "wan-latency-"
_CONFLICT = 409
_TIMEOUT = ClientTimeout(total=2)


class Wan:
    """The WAN links of one sandbox; `described` is what `describe` prints."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._api = str(described["toxiproxy"])
        self._links = [link["name"] for link in described["links"] if link["group"] == WAN]

    async def slow_down(self) -> bool:
        """Give every link its latency and open it; False when Toxiproxy did not take it, to be tried again."""
        if not self._links:
            return True
        try:
            async with ClientSession(self._api, timeout=_TIMEOUT) as session:
                answers = await asyncio.gather(*(_slow_down(session, link) for link in self._links))
        except (ClientError, TimeoutError):
            return False
        return all(answers)


async def _slow_down(session: ClientSession, link: str) -> bool:
    path = f"/proxies/{quote(link, safe='')}"
    for stream in ("upstream", "downstream"):
        toxic = {"name": TOXIC + stream, "type": "latency", "stream": stream, "attributes": {"latency": WAN_MS}}
        if await _post(session, f"{path}/toxics", toxic) not in (200, _CONFLICT):
            return False
    return await _post(session, path, {"enabled": True}) == 200


async def _post(session: ClientSession, path: str, body: Mapping[str, Any]) -> int:
    async with session.post(path, json=body) as answer:
        return answer.status
