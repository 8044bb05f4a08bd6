"""REST side of a gateway: Bybit V5 paths, every request signed, and the pages for operators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from sandbox.exchange.codes import RetCode
from sandbox.exchange.gateway_desk import Desk, Send
from sandbox.exchange.gateway_requests import BadRequest, Reply, book_query

MAX_BODY = 64 * 1024
_OPS = {"create": "order.create", "cancel": "order.cancel", "amend": "order.amend"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Status = Callable[[], dict[str, Any]]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _response(reply: Reply) -> web.Response:
    body = {"retCode": int(reply.code), "retMsg": reply.text, "result": reply.data, "time": _now_ms()}
    return web.Response(body=orjson.dumps(body), content_type="application/json")


def _depth_reply(answer: dict[str, Any] | None) -> Reply:
    if answer is None:
        return Reply(RetCode.UNAVAILABLE, {})
    return Reply(
        RetCode.OK,
        {"s": answer["symbol"], "b": answer["bids"], "a": answer["asks"], "u": answer["seq"], "ts": _now_ms()},
    )


class Rest:
    """Handlers over one desk; `status` makes the page of that name."""

    def __init__(self, desk: Desk, status: Status) -> None:
        self._desk, self._status = desk, status

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.post("/v5/order/{act:create|cancel|amend}", self.order),
                web.get("/v5/order/realtime", self.realtime),
                web.get("/v5/market/orderbook", self.orderbook),
                web.get("/v5/market/time", self.time),
                web.get("/healthz", self.healthz),
                web.get("/status", self.status),
                web.get("/metrics", self.metrics),
            ]
        )
        return app

    async def _answer(self, put: Callable[[Send, Callable[[], bool]], None]) -> web.Response:
        """Let `put` hand in a request and wait for its reply; a client that goes away cancels the wait."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        put(future.set_result, lambda: not future.done())
        return _response(await future)

    async def _refuse(self, op: str, ident: object, code: RetCode, message: str = "") -> web.Response:
        return await self._answer(lambda send, alive: self._desk.refuse(op, ident, code, message, send, alive))

    def _signed(self, request: web.Request, payload: str) -> RetCode:
        get = request.headers.get
        return self._desk.keyring.check_request(
            get("X-BAPI-API-KEY"),
            get("X-BAPI-TIMESTAMP"),
            get("X-BAPI-RECV-WINDOW"),
            get("X-BAPI-SIGN"),
            payload,
            _now_ms(),
        )

    async def order(self, request: web.Request) -> web.Response:
        """POST /v5/order/{create,cancel,amend}."""
        op = _OPS[request.match_info["act"]]
        try:
            body = await request.read()
            text = body.decode()
            args = orjson.loads(body)
        except web.HTTPRequestEntityTooLarge:
            return await self._refuse(op, "", RetCode.BAD_REQUEST, f"a body is at most {MAX_BODY} bytes")
        except ValueError:  # neither UTF-8 nor JSON
            return await self._refuse(op, "", RetCode.BAD_REQUEST, "the body is not JSON")
        req_id = args.get("reqId") if isinstance(args, dict) else None
        code = self._signed(request, text)
        if code != RetCode.OK:
            return await self._refuse(op, req_id, code)
        account = request.headers["X-BAPI-API-KEY"]
        return await self._answer(lambda send, alive: self._desk.order(op, account, req_id, args, send, alive))

    async def realtime(self, request: web.Request) -> web.Response:
        """GET /v5/order/realtime?orderLinkId= or ?reqId=."""
        code = self._signed(request, request.rel_url.raw_query_string)
        if code != RetCode.OK:
            return await self._refuse("order.status", "", code)
        account, args = request.headers["X-BAPI-API-KEY"], request.query
        return await self._answer(lambda send, alive: self._desk.status(account, args, send, alive))

    async def orderbook(self, request: web.Request) -> web.Response:
        """GET /v5/market/orderbook?symbol=&limit=: public."""
        try:
            query = book_query(request.query)
        except BadRequest as error:
            return await self._refuse("book", "", RetCode.BAD_REQUEST, str(error))
        return await self._answer(lambda send, alive: self._desk.ask("book", query, _depth_reply, send, alive))

    async def time(self, _request: web.Request) -> web.Response:
        """GET /v5/market/time: public."""
        now_ns = time.time_ns()
        return _response(
            Reply(RetCode.OK, {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}),
        )

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 when a leader is known."""
        if self._desk.router.leader is None:
            return web.Response(status=503, text="no leader\n")
        return web.Response(text="ok\n")

    async def status(self, _request: web.Request) -> web.Response:
        """Who we are and who leads."""
        return web.Response(body=orjson.dumps(self._status()), content_type="application/json")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus exposition."""
        return web.Response(body=self._desk.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})
