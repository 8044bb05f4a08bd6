"""Answers questions over UDP and TCP on one port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from sandbox.dns.messages import respond
from sandbox.dns.zone import Zone

_IDLE_S = 5.0
Count = Callable[[str], None]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone, count: Count) -> None:
        self._zone, self._count = zone, count
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer, word = respond(self._zone, data)
        self._count(word)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


class DnsServer:
    """One zone on one address."""

    def __init__(self, zone: Zone, count: Count = lambda word: None) -> None:
        self._zone, self._count = zone, count
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        """Begin to answer; raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._converse, host, port)
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._zone, self._count), local_addr=(host, port)
        )

    def close(self) -> None:
        """Answer nothing more."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            while True:
                async with asyncio.timeout(_IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2))
                    data = await reader.readexactly(size)
                answer, word = respond(self._zone, data, udp=False)
                self._count(word)
                if answer is not None:
                    writer.write(len(answer).to_bytes(2) + answer)
                    await writer.drain()
        writer.close()
