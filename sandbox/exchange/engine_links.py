"""The gateways' connections to an engine: lines of JSON over TCP, written once per loop tick."""

import asyncio
import logging
from typing import Any, cast

from sandbox.exchange.commands import Result
from sandbox.exchange.engine_core import Core
from sandbox.exchange.wire import Lines, WireError, encode

STATUS_S = 0.1
_MAX_UNSENT = 8 * 2**20  # a gateway that reads nothing is cut off instead of filling our memory

_log = logging.getLogger(__name__)


class GatewayLink(asyncio.Protocol):
    """One gateway's connection: takes its commands and queries in, gathers what goes back."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._transport: asyncio.Transport | None = None
        self._lines = Lines()
        self._results: list[list[Any]] = []
        self._answers: list[list[Any]] = []
        self._unanswerable: list[int] = []
        self._scheduled = False
        self.peer = "?"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with who leads."""
        self._transport = cast(asyncio.Transport, transport)
        self._core.links.add(self)
        self.send_status(self._core.link_status())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; answers still to come go nowhere."""
        self._transport = None
        self._core.links.discard(self)
        _log.info("gateway %s is gone", self.peer)

    def data_received(self, data: bytes) -> None:
        """Take whole lines; a line that is none of the protocol ends the connection."""
        try:
            for message in self._lines.feed(data):
                self._take(message)
        except (WireError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            _log.warning("gateway %s does not speak the protocol, cut off: %s", self.peer, error)
            if self._transport is not None:
                self._transport.abort()

    def reply(self, rid: int, result: Result) -> None:
        """Answer a command at the end of this loop tick."""
        self._results.append([rid, *result.to_row()])
        self._schedule()

    def answer(self, rid: int, status: dict[str, Any] | None) -> None:
        """Answer a status query at the end of this loop tick."""
        self._answers.append([rid, status])
        self._schedule()

    def cannot_answer(self, rid: int) -> None:
        """Hand a query back at the end of this loop tick."""
        self._unanswerable.append(rid)
        self._schedule()

    def send_status(self, status: dict[str, Any]) -> None:
        """Tell who leads, at once."""
        self._write(encode({"s": status}))

    def _take(self, message: dict[str, Any]) -> None:
        if "c" in message:
            self._core.submit(self, message["c"])
        if "q" in message:
            self._core.ask(self, message["q"])
        if "hello" in message:
            self.peer = str(message["hello"])
            _log.info("gateway %s is connected", self.peer)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        message: dict[str, Any] = {}
        if self._results:
            message["r"], self._results = self._results, []
        if self._answers:
            message["a"], self._answers = self._answers, []
        if self._unanswerable:
            message["x"], self._unanswerable = self._unanswerable, []
        self._write(encode(message))

    def _write(self, block: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > _MAX_UNSENT:
            _log.warning("gateway %s does not read its answers, cut off", self.peer)
            transport.abort()
            return
        transport.write(block)


async def serve(core: Core, host: str, port: int) -> asyncio.Server:
    """Listen for gateways on `host`:`port`; raises OSError when the port is taken."""
    return await asyncio.get_running_loop().create_server(lambda: GatewayLink(core), host, port)


async def keep_telling(core: Core) -> None:
    """Tell all gateways who leads, every 100 ms."""
    while True:
        await asyncio.sleep(STATUS_S)
        core.tell_gateways()
