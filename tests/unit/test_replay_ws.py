"""WebSocket framing: what we send is what a server reads, and the other way round."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.venues import ws

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455, section 1.3


def unmask(frame: bytes) -> tuple[int, bytes]:
    """Opcode and payload of a masked frame, by the letter of the RFC."""
    size, at = frame[1] & 0x7F, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(frame[at : at + width], "big"), at + width
    assert frame[1] & 0x80
    key, payload = frame[at : at + 4], frame[at + 4 :]
    assert len(payload) == size
    return frame[0], bytes(byte ^ key[k % 4] for k, byte in enumerate(payload))


def server_frame(payload: bytes, first: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300, 65535, 65536, 70001])
def test_frames_of_every_length_class(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    assert unmask(ws.frame(payload, random.Random(1))) == (0x81, payload)
    assert list(ws.Decoder().feed(server_frame(payload))) == [(ws.TEXT, payload)]


def test_every_frame_has_a_mask_of_its_own() -> None:
    rng = random.Random(1)
    assert ws.frame(b"same", rng) != ws.frame(b"same", rng)


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=8), st.data())
def test_a_stream_cut_anywhere_gives_the_same_messages(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(server_frame(payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder, found = ws.Decoder(), []
    for low, high in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(decoder.feed(stream[low:high]))
    assert found == [(ws.TEXT, payload) for payload in payloads]


def test_fragments_are_joined_and_control_frames_come_between() -> None:
    stream = (
        server_frame(b"ab", 0x01) + server_frame(b"!", 0x89) + server_frame(b"cd", 0x00) + server_frame(b"ef", 0x80)
    )
    assert list(ws.Decoder().feed(stream)) == [(ws.PING, b"!"), (ws.TEXT, b"abcdef")]


def test_a_server_that_masks_or_sends_without_end_breaks_the_protocol() -> None:
    with pytest.raises(ws.ProtocolError, match="masked"):
        list(ws.Decoder().feed(b"\x81\x81abcdx"))
    with pytest.raises(ws.ProtocolError, match="16 MiB"):
        list(ws.Decoder().feed(b"\x81\x7f" + (1 << 40).to_bytes(8, "big")))


def test_the_handshake() -> None:
    text = ws.request("h:1", "/v5/trade", KEY)
    assert text.startswith(b"GET /v5/trade HTTP/1.1\r\nHost: h:1\r\n")
    assert text.endswith(b"\r\nSec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n")
    ws.check_response(b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: " + ACCEPT, KEY)
    with pytest.raises(ws.ProtocolError, match=r"upgrade refused: HTTP/1\.1 403 Forbidden"):
        ws.check_response(b"HTTP/1.1 403 Forbidden\r\n", KEY)
    with pytest.raises(ws.ProtocolError, match="wrong Sec-WebSocket-Accept"):
        ws.check_response(b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: nonsense", KEY)
