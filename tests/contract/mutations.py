"""Damage to a recording: bytes, lines, numbers, words and nesting, as chance and as an enemy would have it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable

from hypothesis import strategies as st

Damage = Callable[[bytes, int, int], bytes]

HOSTILE_NUMBERS = (
    b"NaN",
    b"-1",
    b"0",
    b"Infinity",
    b"1e999999999",
    b"1e-999999999",
    b"9" * 19,
    b"9" * 400,
    b"18446744073709551616",
    b"0.000000001",
    b"-0",
    b"1_000",
    b"0x10",
    b"253402300799",
    b"1.7976931348623157e308",
    "١٢".encode(),
    b"",
    b"99999999",
)
HOSTILE_WORDS = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[[]]",
    b'""',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff"',
    b'"9999-12-31T23:59:59Z"',
    b'"1970-01-01T00:00:00Z"',
    b'"0000-00-00 00:00"',
    b'"http://[::1"',
    b'"' + b"a" * 300 + b'"',
    b"1e400",
    b"-5",
)
_NUMBERS = re.compile(rb"\d+(?:\.\d+)?")
_WORDS = re.compile(rb'"[^"\n]{0,200}"')
_LINES = re.compile(rb"[^\n]*\n?")
_LARGEST = 300_000


def _flip(data: bytes, a: int, b: int) -> bytes:
    at = a % len(data)
    return data[:at] + bytes([data[at] ^ (1 << b % 8)]) + data[at + 1 :]


def _cut(data: bytes, a: int, _: int) -> bytes:
    return data[: a % len(data)]


def _drop(data: bytes, a: int, b: int) -> bytes:
    at = a % len(data)
    return data[:at] + data[at + 1 + b % 64 :]


def _insert(data: bytes, a: int, b: int) -> bytes:
    parts = (
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\r",
        b"\n",
        b'"',
        b"\\",
        b"\x01",
        b"[" * 2000,
        b'{"a":' * 2000,
        b" " * 999,
    )
    at = a % len(data)
    return data[:at] + parts[b % len(parts)] + data[at:]


def _number(data: bytes, a: int, b: int) -> bytes:
    return _swapped(data, _NUMBERS, a, HOSTILE_NUMBERS[b % len(HOSTILE_NUMBERS)])


def _word(data: bytes, a: int, b: int) -> bytes:
    return _swapped(data, _WORDS, a, HOSTILE_WORDS[b % len(HOSTILE_WORDS)])


def _other_word(data: bytes, a: int, b: int) -> bytes:
    words = _WORDS.findall(data)
    return _swapped(data, _WORDS, a, words[b % len(words)]) if words else data


def _swapped(data: bytes, pattern: re.Pattern[bytes], which: int, value: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    span = found[which % len(found)]
    return data[: span.start()] + value + data[span.end() :]


def _lines(data: bytes, a: int, b: int) -> bytes:
    lines = _LINES.findall(data)
    one, other = a % len(lines), b % len(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _again(data: bytes, a: int, b: int) -> bytes:
    lines = _LINES.findall(data)
    return b"".join([*lines[: a % len(lines)], *lines[b % len(lines) :]])


def _wide(data: bytes, a: int, _: int) -> bytes:
    return data.decode("latin-1").encode("utf-16" if a % 2 else "utf-8")


DAMAGES: tuple[Damage, ...] = (
    _flip,
    _cut,
    _drop,
    _insert,
    _number,
    _number,
    _word,
    _word,
    _other_word,
    _lines,
    _again,
    _wide,
)

_BIG = st.integers(0, 2**32 - 1)


def damaged(sample: bytes, mended: Callable[[bytes], bytes]) -> st.SearchStrategy[bytes]:
    """Recordings that are nearly a sample, some with what must fit together (checksums) mended, some packed and cut."""
    steps = st.lists(st.tuples(st.sampled_from(DAMAGES), _BIG, _BIG), min_size=1, max_size=6)

    def made(steps: list[tuple[Damage, int, int]], mend: bool, pack: int) -> bytes:
        data = sample
        for damage, a, b in steps:
            data = damage(data, a, b)[:_LARGEST] or b"\n"
        data = mended(data) if mend else data
        if pack == 0:
            data = gzip.compress(data, 1)
            data = _flip(data, steps[0][1], steps[0][2]) if steps[0][2] % 2 else data[: steps[0][1] % len(data)]
        return data

    near = st.builds(made, steps, st.booleans(), st.integers(0, 15))
    pieces = st.lists(st.sampled_from(_pieces(sample)) | st.binary(max_size=20), max_size=12)
    return st.one_of(near, near, near, near, st.builds(b"".join, pieces), st.binary(max_size=300))


def _pieces(sample: bytes) -> list[bytes]:
    """Parts of a sample that make sense to its importer, and what stands between them."""
    return sorted(
        {*_WORDS.findall(sample), *_LINES.findall(sample)[:40], b"{", b"}", b"[", b"]", b":", b",", b"\n", b" "}
    )
