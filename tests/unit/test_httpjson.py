"""Requests of the control interfaces, on a socket that only remembers."""

from __future__ import annotations

import http.client
import io

import pytest

from chaoslib_ext import httpjson, late


class Socket:
    def __init__(self, answer: bytes) -> None:
        self.sent: list[bytes] = []
        self._answer = answer

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._answer)

    def close(self) -> None: ...


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Socket:
    made = Socket(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"ok": true}')

    def connect(self: http.client.HTTPConnection) -> None:
        self.sock = made

    monkeypatch.setattr(http.client.HTTPConnection, "connect", connect)
    return made


def test_head_and_body_leave_in_one_piece(wire: Socket) -> None:
    httpjson.call("POST", "http://127.0.0.1:1/proxies/x/toxics", {"name": "t"}, headers=late.order("muster-r-f0"))
    (whole,) = wire.sent
    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /proxies/x/toxics HTTP/1.1")
    assert b"Muster-Order: muster-r-f0 " in head
    assert body == b'{"name": "t"}'


def test_a_question_has_no_body(wire: Socket) -> None:
    assert httpjson.call("GET", "http://127.0.0.1:1/x?y=1") == (200, {"ok": True})
    (whole,) = wire.sent
    assert whole.startswith(b"GET /x?y=1 HTTP/1.1")
    assert whole.endswith(b"\r\n\r\n")
