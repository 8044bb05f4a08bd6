"""Readiness probes, cheap enough to be asked of every instance each second."""

import asyncio
import contextlib


async def is_ready(host: str, port: int, path: str | None, timeout_s: float) -> bool:
    """Whether `port` of `host` accepts, and with a `path` answers GET with 2xx, within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _ask(host, port, path)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False


async def _ask(host: str, port: int, path: str | None) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if path is None:
            return True
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readuntil(b"\r\n")
        return status.split(b" ", 2)[1][:1] == b"2" if status.startswith(b"HTTP/") else False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
