"""WebSocket side of a gateway: one session per connection, logged in once, timestamps checked on every request."""

from __future__ import annotations

import logging
import time
from typing import Any

import orjson
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from sandbox.exchange.codes import MESSAGES, RetCode
from sandbox.exchange.gateway_desk import Desk, Send
from sandbox.exchange.gateway_requests import KINDS, STATUS_OP, Reply, safe_id
from sandbox.exchange.signing import check_window

PATH = b"/v5/trade"
MAX_MESSAGE = 64 * 1024
MAX_FRAME = 1024 * 1024
MAX_UNREAD = 4 * 1024 * 1024
log = logging.getLogger("gateway")
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)


class Session(WSListener):
    """One connection of a client."""

    def __init__(self, desk: Desk, sessions: set[Session]) -> None:
        super().__init__()
        self._desk, self._sessions = desk, sessions
        self._account = ""
        self._parts: list[bytes] = []
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """A client is here."""
        self._transport = transport
        self._sessions.add(self)
        self._desk.metrics.connections.set(len(self._sessions))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The client has gone; what it waits for is answered to nobody."""
        self._transport = None
        self._sessions.discard(self)
        self._desk.metrics.connections.set(len(self._sessions))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame; messages in several frames are put together."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type in _DATA:
            self._parts.append(frame.get_payload_as_bytes())
            if sum(map(len, self._parts)) > MAX_MESSAGE:
                self._parts = []
                self._refuse("", "", RetCode.BAD_REQUEST, f"a message is at most {MAX_MESSAGE} bytes")
            elif frame.fin:
                message, self._parts = b"".join(self._parts), []
                self._message(message)

    def close(self) -> None:
        """Send the client away: this gateway stops."""
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.GOING_AWAY)
            self._transport.disconnect()

    def _alive(self) -> bool:
        return self._transport is not None

    def _write(self, answer: dict[str, Any]) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.underlying_transport.get_write_buffer_size() > MAX_UNREAD:
            log.warning("%s does not read its answers: cut off", self._account or "a client")
            transport.disconnect(False)
            return
        transport.send(WSMsgType.TEXT, orjson.dumps(answer))

    def _refuse(self, op: str, req_id: str, code: RetCode, message: str = "") -> None:
        self._desk.refuse(op, req_id, code, message, self._replier(op, req_id), self._alive)

    def _replier(self, op: str, req_id: str) -> Send:
        def send(reply: Reply) -> None:
            self._write(
                {"reqId": req_id, "retCode": int(reply.code), "retMsg": reply.text, "op": op, "data": reply.data}
            )

        return send

    def _message(self, message: bytes) -> None:
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            self._refuse("", "", RetCode.BAD_REQUEST, "the message is not a JSON object")
            return
        op, req_id = request.get("op"), safe_id(request.get("reqId"))
        if not isinstance(op, str):
            self._refuse("", req_id, RetCode.BAD_REQUEST, "op must be text")
        elif op == "ping":
            self._write({"reqId": req_id, "retCode": 0, "retMsg": "pong", "op": "pong"})
        elif op == "auth":
            self._login(req_id, request.get("args"))
        elif op in KINDS or op == STATUS_OP:
            self._order(op, req_id, request)
        else:
            self._refuse("", req_id, RetCode.BAD_REQUEST, f"no such op: {op[:40]!r}")

    def _login(self, req_id: str, args: object) -> None:
        if not isinstance(args, list) or len(args) != 3:
            self._refuse("auth", req_id, RetCode.BAD_REQUEST, "args must be [api_key, expires_ms, signature]")
            return
        key, expires, signature = args
        code = self._desk.keyring.check_login(key, expires, signature, time.time_ns() // 1_000_000)
        if code == RetCode.OK:
            self._account = key
        self._write({"reqId": req_id, "retCode": int(code), "retMsg": MESSAGES[code], "op": "auth", "connId": ""})

    def _order(self, op: str, req_id: str, request: dict[str, Any]) -> None:
        header, args = request.get("header"), request.get("args")
        if not self._account:
            self._refuse(op, req_id, RetCode.BAD_KEY, "log in first: op auth")
        elif not isinstance(header, dict):
            self._refuse(op, req_id, RetCode.BAD_REQUEST, "header with X-BAPI-TIMESTAMP is missing")
        elif not isinstance(args, list) or len(args) != 1:
            self._refuse(op, req_id, RetCode.BAD_REQUEST, "args must be a list of one object")
        else:
            stamp, window = header.get("X-BAPI-TIMESTAMP"), header.get("X-BAPI-RECV-WINDOW")
            code = check_window(stamp, window, time.time_ns() // 1_000_000)
            if code != RetCode.OK:
                self._refuse(op, req_id, code)
            elif op == STATUS_OP:
                self._desk.status(self._account, args[0], self._replier(op, req_id), self._alive)
            else:
                self._desk.order(op, self._account, req_id, args[0], self._replier(op, req_id), self._alive)


def accept(desk: Desk, sessions: set[Session], request: WSUpgradeRequest) -> Session | None:
    """A session for an upgrade request to our path; None (404) for any other."""
    return Session(desk, sessions) if request.path.split(b"?")[0] == PATH else None
