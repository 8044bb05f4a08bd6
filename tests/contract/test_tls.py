"""The client's side of TLS against a server's, both without a socket: no byte is lost, added or out of order."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest

from loadgen.engine import tls
from loadgen.venues.wire import ProtocolError
from tests.contract.papers import needed, server_side
from tests.contract.papers import papers as papers

pytestmark = needed


def both_sides(
    papers: dict[str, Path], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> tuple[tls.Tls, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Ours and a server's, shaken hands."""
    context = tls.context(str(papers["here"]))
    context.maximum_version = version
    ours = tls.Tls(context, "localhost")
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server_side(papers["here"]).wrap_bio(inbound, outbound, server_side=True)
    data = ours.start()
    while not ours.ready or outbound.pending:
        inbound.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
        text, data = ours.read(outbound.read())
        assert text == b""
    inbound.write(data)
    theirs.do_handshake()
    ours.read(outbound.read())
    return ours, theirs, inbound, outbound


def all_of(theirs: ssl.SSLObject) -> bytes:
    parts = bytearray()
    while True:
        try:
            parts += theirs.read(1 << 20)
        except ssl.SSLWantReadError:
            return bytes(parts)


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 100_000, 5_000_000])
def test_no_write_is_too_large(papers: dict[str, Path], size: int) -> None:
    ours, theirs, inbound, _ = both_sides(papers)
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    inbound.write(ours.write(data))
    assert all_of(theirs) == data


def test_what_was_written_before_the_handshake_follows_it(papers: dict[str, Path]) -> None:
    ours = tls.Tls(tls.context(str(papers["here"])), "localhost")
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server_side(papers["here"]).wrap_bio(inbound, outbound, server_side=True)
    before = b"y" * 70_000
    assert ours.write(before) == b""
    inbound.write(ours.start())
    with pytest.raises(ssl.SSLWantReadError):
        theirs.do_handshake()
    assert not ours.ready
    _, back = ours.read(outbound.read())
    inbound.write(back)
    theirs.do_handshake()
    assert ours.ready
    assert all_of(theirs) == before


@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
def test_reading_in_pieces_gives_the_same_text(papers: dict[str, Path], piece: int) -> None:
    ours, theirs, _, outbound = both_sides(papers)
    data = bytes(range(256)) * 300
    for at in range(0, len(data), 10_000):
        theirs.write(data[at : at + 10_000])
    coded = outbound.read()
    found = b"".join(ours.read(coded[at : at + piece])[0] for at in range(0, len(coded), piece))
    assert found == data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_last_words_before_the_end_are_heard(papers: dict[str, Path], version: ssl.TLSVersion) -> None:
    ours, theirs, _, outbound = both_sides(papers, version)
    theirs.write(b"the last answer")
    with pytest.raises(ssl.SSLWantReadError):
        theirs.unwrap()
    assert ours.read(outbound.read())[0] == b"the last answer"
    assert ours.write(b"one more order")  # into the void; the end of the connection is about to be read


def test_a_forged_record_is_a_protocol_error(papers: dict[str, Path]) -> None:
    ours, theirs, _, outbound = both_sides(papers)
    theirs.write(b"an answer")
    coded = bytearray(outbound.read())
    coded[-1] ^= 1
    with pytest.raises(ProtocolError, match="TLS: "):
        ours.read(bytes(coded))
