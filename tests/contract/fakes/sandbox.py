"""The sandbox's gateway as clients of its WebSocket and of its binary port see it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct

from tests.contract.fakes import Book, Seen
from tests.contract.fakes.http import BYBIT_CODES, NOW_MS, sandbox_secret, sign

CODES = {**BYBIT_CODES, "unavailable": 10016}


class WebSocketFake:
    """One connection of the trading WebSocket."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.account = ""
        self._rest = b""
        self._upgraded = False

    def receive(self, data: bytes) -> bytes:
        self._rest += data
        if not self._upgraded:
            head, blank, self._rest = self._rest.partition(b"\r\n\r\n")
            assert blank
            key = next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            self._upgraded = True
            return b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        out = b""
        while len(self._rest) >= 6:
            size, start = self._rest[1] & 0x7F, 6
            if size == 126:
                size, start = int.from_bytes(self._rest[2:4], "big"), 8
            masked, mask = self._rest[start : start + size], self._rest[start - 4 : start]
            if len(masked) < size:
                break
            self._rest = self._rest[start + size :]
            answer = self._take(json.loads(bytes(byte ^ mask[k % 4] for k, byte in enumerate(masked))))
            out += frame(answer) if answer else b""
        return out

    def _take(self, raw: dict[str, object]) -> dict[str, object] | None:
        op, ident, args = str(raw["op"]), str(raw.get("reqId", "")), raw.get("args")
        if op == "ping":
            return {"op": "pong"}
        assert isinstance(args, list)
        if op == "auth":
            self.account, expires, signature = args
            good = signature == sign(sandbox_secret(self.account), f"GET/realtime{expires}") and expires > NOW_MS
            if not good:
                self.book.problems.append("signature")
            return {"reqId": ident, "op": op, "retCode": 0}
        header = raw["header"]
        assert isinstance(header, dict)
        if header["X-BAPI-TIMESTAMP"] != str(NOW_MS):
            self.book.problems.append(f"timestamp {header}")
        if op == "order.status":
            return {"reqId": ident, "op": op, **self._status(args[0])}
        kind = {"order.create": "place", "order.cancel": "cancel", "order.amend": "amend"}[op]
        words = [args[0].get(name, "") for name in ("symbol", "side", "orderType", "timeInForce", "price", "qty")]
        link = args[0]["orderLinkId"]
        word = self.book.take(Seen(kind, ident, "" if kind == "place" else link, *words))
        if word == "silent":
            return None
        data = {"orderId": "2-7", "orderLinkId": link, "seq": 7, "epoch": 2, "status": "New"} if word == "ok" else {}
        message = "OK" if word == "ok" else f"{word}, as you see"
        return {"reqId": ident, "retCode": CODES[word], "retMsg": message, "op": op, "data": data}

    def _status(self, args: dict[str, str]) -> dict[str, object]:
        ident = args.get("orderLinkId") or args["reqId"]
        self.book.asked.append(ident)
        if self.book.refuse_questions:
            return {"retCode": 10001}
        done = self.book.done.get(ident)
        if done is None:
            return {"retCode": 0, "data": {"found": False}}
        return {"retCode": 0, "data": {"found": True, "code": 0 if done else 110301, "seq": 7, "epoch": 2}}


def frame(message: dict[str, object]) -> bytes:
    payload = json.dumps(message, separators=(",", ":")).encode()
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return b"\x81" + size + payload


class BinaryFake:
    """One connection of the binary port."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.symbols: list[str] = []
        self._prefix = ""
        self._rest = b""

    def receive(self, data: bytes) -> bytes:
        self._rest += data
        out = b""
        while len(self._rest) >= 4 and len(self._rest) >= (size := int.from_bytes(self._rest[:2], "little")):
            message, self._rest = self._rest[:size], self._rest[size:]
            out += self._take(message[2], message)
        return out

    def _take(self, kind: int, message: bytes) -> bytes:
        if kind == 1:
            _, expires, signature, account, prefix = struct.unpack("<Iq32s32s32s", message[4:])
            name = account.rstrip(b"\0").decode()
            if signature.hex() != sign(sandbox_secret(name), f"GET/realtime{expires}") or expires <= NOW_MS:
                self.book.problems.append("signature")
            self._prefix = prefix.rstrip(b"\0").decode()
            return self._answer(129)
        if kind == 2:
            names = [message[at : at + 20] for at in range(4, len(message), 20)]
            self.symbols += [name.rstrip(b"\0").decode() for name in names]
            return b""
        if kind == 3:
            return self._answer(130)
        lead, number, parent, price8, qty8, now_ms, symbol = struct.unpack("<Qqqqqqq8x", message)
        if now_ms != NOW_MS:
            self.book.problems.append(f"timestamp {now_ms}")
        ident = f"{self._prefix}{number:010d}"
        if kind in (19, 20):
            return self._status(number, ident)
        words = ["", "Buy", "Sell"][lead >> 32 & 255], ["", "Limit", "Market"][lead >> 40 & 255]
        seen = Seen({16: "place", 17: "cancel", 18: "amend"}[kind], ident, "", self.symbols[symbol], *words)
        seen.parent = "" if kind == 16 else f"{self._prefix}{parent:010d}"
        seen.tif = ["", "GTC", "IOC", "PostOnly"][lead >> 48 & 255]
        seen.price, seen.qty = (f"{value / 1e8:g}" if value else "" for value in (price8, qty8))
        word = self.book.take(seen)
        if word == "silent":
            return b""
        return self._answer(144, CODES[word], number, *((7, 2) if word == "ok" else (0, 0)))

    def _status(self, number: int, ident: str) -> bytes:
        self.book.asked.append(ident)
        if self.book.refuse_questions:
            return self._answer(145, 10001, number)
        done = self.book.done.get(ident)
        if done is None:
            return self._answer(145, 0, number)
        return self._answer(145, 0 if done else 110301, number, 7, 2, 1)

    @staticmethod
    def _answer(kind: int, code: int = 0, number: int = 0, seq: int = 0, epoch: int = 0, found: int = 0) -> bytes:
        return struct.pack("<HBBiqqIB3x", 32, kind, 1, code, number, seq, epoch, found)
