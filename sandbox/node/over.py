"""Orders that come too late: one of a fault that is undone is refused, however long it was on its way.

Whoever orders may put `Muster-Order: TAG NS` into the request, and whoever takes back what was ordered under that tag
`Muster-Over: TAG NS`; NS is CLOCK_MONOTONIC of this host when it was sent. From then on every order under the tag that
is older is answered with 410: a dead client's request may have waited in a socket behind everything else.
"""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.errors import BadUse

ORDER, OVER = "Muster-Order", "Muster-Over"

KEEP_S = 3600.0
"""No request waits in a socket for so long."""

MOST = 4096
"""Tags that are remembered, the latest ones: some hundred kilobytes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Over:
    """The tags that are over, each with the time before which orders are refused; bounded by age and number."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tags: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._tags)

    def end(self, tag: str, sent_ns: int) -> None:
        """Whatever was ordered under this tag before `sent_ns` is over; a tag may begin again after it."""
        now = self._clock()
        before, _ = self._tags.pop(tag, (0, now))
        self._tags[tag] = max(before, sent_ns), now
        for old, (_, since) in list(self._tags.items()):
            if len(self._tags) <= MOST and now - since <= KEEP_S:
                break
            del self._tags[old]

    def late(self, tag: str, sent_ns: int) -> bool:
        """Whether an order that was sent then is over."""
        ended = self._tags.get(tag)
        return ended is not None and sent_ns <= ended[0]

    @web.middleware
    async def look(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take note of what is over and refuse what is late; for every request that is not a question."""
        if request.method == "GET":
            return await handler(request)
        await request.read()  # an order counts when it is whole: its head may come long before its body
        if over := request.headers.get(OVER):
            self.end(*_parsed(OVER, over))
        if order := request.headers.get(ORDER):
            tag, sent_ns = _parsed(ORDER, order)
            if self.late(tag, sent_ns):
                raise web.HTTPGone(text=f"{request.method} {request.path} comes too late: {tag} is undone")
        return await handler(request)


def _parsed(header: str, value: str) -> tuple[str, int]:
    tag, _, sent = value.rpartition(" ")
    if not tag or not sent.isdecimal():
        raise BadUse(f"{header}: {value!r} is not TAG NS, NS being CLOCK_MONOTONIC in nanoseconds")
    return tag, int(sent)
