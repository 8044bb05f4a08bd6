"""HTTP/1.x messages as the bytes that were recorded: request line, headers, and the body without its codings."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

BODY_LIMIT = 16 * 1024 * 1024
"""A body that unpacks to more is not used."""

_HEAD_LIMIT = 256 * 1024
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_REQUEST = re.compile(r"([A-Za-z]{1,20}) (\S{1,65536})(?: HTTP/\d(?:\.\d)?)?", re.ASCII)
_STATUS = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})(?: .*)?", re.ASCII)


class NotHttp(ValueError):
    """Bytes that are no HTTP message; the text is one of a few."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request (`method`, `target`) or an answer (`status`); header names in lower case."""

    headers: Mapping[str, str]
    body: bytes
    method: str = ""
    target: str = ""
    status: int = 0


def request(raw: bytes) -> Message:
    """A request; raises NotHttp where it is none."""
    line, headers, body = _parts(raw)
    found = _REQUEST.fullmatch(line)
    if not found:
        raise NotHttp("no HTTP request")
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) < 12 and len(body) < int(length):
        raise NotHttp("body shorter than it says")
    return Message(headers, _plain(headers, body), found[1].upper(), found[2])


def answer(raw: bytes) -> Message:
    """An answer, without a body that cannot be unpacked; raises NotHttp where it is none."""
    line, headers, body = _parts(raw)
    found = _STATUS.fullmatch(line)
    if not found:
        raise NotHttp("no HTTP answer")
    try:
        body = _plain(headers, body)
    except NotHttp:
        body = b""  # it still tells that it came, and how it began
    return Message(headers, body, status=int(found[1]))


def _parts(raw: bytes) -> tuple[str, dict[str, str], bytes]:
    end = _HEAD_END.search(raw)
    head, body = (raw[: end.start()], raw[end.end() :]) if end else (raw, b"")
    if len(head) > _HEAD_LIMIT:
        raise NotHttp(f"headers of more than {_HEAD_LIMIT >> 10} KiB")
    line, *fields = head.decode("latin-1").split("\n")
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return line.rstrip("\r"), headers, body


def _plain(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body without transfer and content coding, which are left as they are where they are none we know."""
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        body = _unchunked(body)
    if headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
        body = unpacked(body)
    return body


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\n", at, at + 64)
        size = body[at:end].split(b";")[0].strip() if end >= 0 else b""
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
            raise NotHttp("broken chunked body")
        length, at = int(size, 16), end + 1
        if not length:
            return b"".join(parts)
        if at + length > len(body):
            raise NotHttp("broken chunked body")
        parts.append(body[at : at + length])
        at += length
        at += 2 if body[at : at + 2] == b"\r\n" else 1


def unpacked(body: bytes) -> bytes:
    """A body that was packed with gzip or deflate; raises NotHttp where it is not, or is too large."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # told by its header
    try:
        plain = unpacker.decompress(body, BODY_LIMIT)
    except zlib.error as error:
        raise NotHttp("broken packed body") from error
    if unpacker.unconsumed_tail:
        raise NotHttp(f"body larger than {BODY_LIMIT >> 20} MiB")
    return plain
