"""The kubelet's own port: `kubectl logs` asks the API server, and that asks here, with its certificate."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from sandbox.kube.papers import Papers
from sandbox.kube.podrun import HOST_IP, PodInstance
from sandbox.ports import allocate

_FOLLOW_S = 0.1
_PIECE = 64 * 1024


class PodLogs:
    """Serves GET /containerLogs/NAMESPACE/POD/CONTAINER to the API server alone; `find` knows the pods."""

    def __init__(self, find: Callable[[str, str], PodInstance | None]) -> None:
        self._find = find
        self._runner: web.AppRunner | None = None

    async def start(self, papers: Papers) -> int:
        """Listen; the port. Raises OSError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(papers.ca))
        context.load_cert_chain(papers.cert("kubelet"), papers.key("kubelet"))
        context.verify_mode = ssl.CERT_REQUIRED
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_route("*", "/{rest:.*}", _unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        (port,) = allocate(1)
        await web.TCPSite(self._runner, HOST_IP, port, ssl_context=context).start()
        return port

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner:
            await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info
        instance = self._find(names["namespace"], names["pod"])
        if instance is None or not instance.starts:
            raise web.HTTPNotFound(text=f"pod {names['namespace']}/{names['pod']} has not run here")
        starts = instance.starts
        previous = request.query.get("previous") == "true"
        if previous and len(starts) < 2:
            raise web.HTTPBadRequest(text=f"previous process of pod {names['pod']} not found")
        begin, end = (starts[-2], starts[-1]) if previous else (starts[-1], None)
        tail = request.query.get("tailLines")
        position = _tail(instance.spec.log, begin, end, int(tail)) if tail else begin
        answer = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await answer.prepare(request)
        follow = request.query.get("follow") == "true" and not previous
        while True:
            position = await _send(answer, instance.spec.log, position, end)
            if not follow or (len(starts) > 0 and starts[-1] > begin and position >= starts[-1]) or not instance.alive:
                break
            await asyncio.sleep(_FOLLOW_S)
        await answer.write_eof()
        return answer


async def _send(answer: web.StreamResponse, log: Path, position: int, end: int | None) -> int:
    with log.open("rb") as file:
        file.seek(position)
        while True:
            size = _PIECE if end is None else min(_PIECE, end - position)
            piece = file.read(size) if size > 0 else b""
            if not piece:
                return position
            position += len(piece)
            await answer.write(piece)


def _tail(log: Path, begin: int, end: int | None, lines: int) -> int:
    """Where the last `lines` lines of a part of the log begin."""
    with log.open("rb") as file:
        file.seek(begin)
        text = file.read() if end is None else file.read(end - begin)
    kept = text.splitlines(keepends=True)[-lines:] if lines > 0 else []
    return begin + len(text) - sum(map(len, kept))


async def _unknown(request: web.Request) -> web.Response:
    return web.Response(status=501, text=f"{request.path}: the sandbox's pods are processes; there are only logs")
