"""HTTP/1.1 as a client reads it: how long a body is, when a connection ends, and what is refused."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from loadgen.venues.http1 import Http1, request
from loadgen.venues.wire import Answer, Endpoint, Inbox, Meaning, ProtocolError

OK = b"HTTP/1.1 200 OK\r\n"


class Heard(NamedTuple):
    number: int
    status: int
    body: bytes


class Line:
    """A connection with one request on its way."""

    def __init__(self, method: str = "POST", target: Endpoint | None = None) -> None:
        self.heard: list[Heard] = []
        self.inbox = Inbox()
        self.conversation = Http1(target or Endpoint("venue", 80), self._read)
        self.ask(7, method)

    def ask(self, number: int, method: str = "POST") -> bytes:
        return self.conversation.frame([number], [request(method, "/x", [], b"body" if method == "POST" else b"")])

    def feed(self, *parts: bytes) -> list[Heard]:
        for part in parts:
            assert self.conversation.feed(part, self.inbox) == b""
        return self.heard

    def _read(self, number: int, request: bytes, status: int, body: bytes) -> Answer:
        self.heard.append(Heard(number, status, body))
        return Answer(number, Meaning.OK)


def test_a_request_gets_its_host_and_its_length() -> None:
    line = Line()
    line.feed(OK + b"Content-Length: 0\r\n\r\n")
    sent = line.ask(8)
    assert sent == b"POST /x HTTP/1.1\r\nHost: venue\r\nContent-Length: 4\r\n\r\nbody"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (Endpoint("venue", 8080), b"venue:8080"),
        (Endpoint("venue", 443, tls=True), b"venue"),
        (Endpoint("venue", 80, tls=True), b"venue:80"),
        (Endpoint("::1", 8080), b"[::1]:8080"),
    ],
)
def test_the_host_names_a_port_that_is_not_the_usual_one(target: Endpoint, host: bytes) -> None:
    line = Http1(target, lambda number, request, status, body: Answer(number, Meaning.OK))
    assert b"\r\nHost: " + host + b"\r\n" in line.frame([1], [request("GET", "/", [])])


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"content-length:5\r\n\r\nhello", b"hello"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 103 Early\r\nLink: y\r\n\r\nHTTP/1.1 500 \r\nContent-Length: 1\r\n\r\n!", b"!"),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)
def test_how_long_a_body_is(answer: bytes, body: bytes) -> None:
    (heard,) = Line().feed(answer)
    assert (heard.number, heard.body) == (7, body)
    slow = Line()
    (heard,) = slow.feed(*(bytes([byte]) for byte in answer))
    assert heard.body == body
    slow.ask(8)  # the connection lives on
    assert slow.feed(OK + b"Content-Length: 1\r\n\r\n2")[1] == (8, 200, b"2")


def test_the_answer_to_a_head_has_no_body() -> None:
    line = Line("HEAD")
    assert line.feed(OK + b"Content-Length: 500\r\n\r\n") == [(7, 200, b"")]


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        OK + b"connection: foo, Close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_an_answer_before_a_close_counts(answer: bytes) -> None:
    line = Line()
    with pytest.raises(ProtocolError, match="closed by the venue after its answer"):
        line.feed(answer)
    assert line.heard == [(7, 200, b"ok")]
    assert len(line.inbox.answers) == 1


def test_a_body_may_end_with_the_connection() -> None:
    line = Line()
    line.feed(OK + b"\r\nhalf", b" and half")
    assert line.heard == []
    with pytest.raises(ProtocolError, match="after its answer"):
        line.feed(b"")
    assert line.heard == [(7, 200, b"half and half")]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b""], "before it answered"),
        ([b"HTTP/1.1 2", b""], "middle"),
        ([OK + b"Content-Length: 5\r\n\r\nhell", b""], "middle"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhell", b""], "middle"),
        ([b"SSH-2.0-x"], "not HTTP/1"),
        ([b"HTTP/2 200\r\n\r\n"], "not HTTP/1"),
        ([b"HTTP/1.1 abc\r\n\r\n"], "not HTTP/1"),
        ([b"HTTP/1.1 101 Switching\r\n\r\n"], "another protocol"),
        ([OK + b"Content-Length: x\r\n\r\n"], "content length"),
        ([OK + b"Content-Length: -1\r\n\r\n"], "content length"),
        ([OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], "content length"),
        ([OK + b"Content-Length: 99999999\r\n\r\n"], "over 16 MiB"),
        ([OK + b"Transfer-Encoding: gzip\r\n\r\n"], "transfer encoding"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], "without its size"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"], "longer than it said"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"], "over 16 MiB"),
        ([OK + b"Content-Length: 0\r\n\r\n" + OK], "nobody asked for|middle"),
        ([OK + b"X: " + b"y" * 70_000], "no end"),
    ],
)
def test_what_is_refused(parts: list[bytes], reason: str) -> None:
    line = Line()
    with pytest.raises(ProtocolError, match=reason):
        line.feed(*parts, b"Content-Length: 0\r\n\r\n", b"")


def test_a_second_request_has_to_wait() -> None:
    line = Line()
    with pytest.raises(ProtocolError, match="one request at a time"):
        line.ask(8)


def test_an_idle_connection_may_be_closed() -> None:
    line = Line()
    line.feed(OK + b"Content-Length: 0\r\n\r\n", b"")
    assert line.heard == [(7, 200, b"")]


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        ("GET\r\n", "/", ("A", "b")),
        ("GET", "/ HTTP/1.1\r\nX: y", ("A", "b")),
        ("GET", "//é", ("A", "b")),
        ("GET", "http://elsewhere/", ("A", "b")),
        ("GET", "/", ("A", "b\r\nEvil: c")),
        ("GET", "/", ("A:", "b")),
    ],
)
def test_a_request_stays_one_request(method: str, target: str, header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="not a"):
        request(method, target, [header])
