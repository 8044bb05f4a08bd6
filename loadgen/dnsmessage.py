"""DNS messages, as far as a client needs them that asks one resolver for addresses. Holds no socket.

By hand, because what speaks for the client must start fast, stay small, and be the same where gevent has patched the
standard library.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
A, OPT, IN = 1, 41, 1
_HEAD = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")  # type, class, time to live, length: behind the name of a row
_ANSWER, _CUT, _DESIRED = 0x8000, 0x0200, 0x0100
_EDE, _STALE = 15, 3  # RFC 8914: an option, and its code "stale answer"
_PAYLOAD = 1232
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Reply:
    """What a resolver said of `name`: its IPv4 addresses, all valid for `ttl` seconds; `stale` where it says so."""

    ident: int
    name: str
    rcode: str
    addresses: tuple[str, ...]
    ttl: int
    stale: bool = False
    cut: bool = False


def question(ident: int, name: str) -> bytes:
    """The message that asks for the IPv4 addresses of a name. Raises ValueError for one that is none."""
    labels = name.rstrip(".").encode("ascii").split(b".") if name.isascii() else []
    if not labels or any(not 0 < len(label) < 64 for label in labels) or len(name) > _LONGEST_NAME - 2:
        raise ValueError(f"{name[:80]!r} is not a host name")
    coded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    extra = b"\0" + _FIXED.pack(OPT, _PAYLOAD, 0, 0)
    return _HEAD.pack(ident, _DESIRED, 1, 0, 0, 1) + coded + struct.pack("!HH", A, IN) + extra


def read(data: bytes) -> Reply:
    """The answer to a question of ours. Raises ValueError for bytes that are none."""
    try:
        return _read(data)
    except (IndexError, struct.error) as error:
        raise ValueError("a message that is cut short") from error


def _read(data: bytes) -> Reply:
    ident, flags, questions, answers, authorities, extras = _HEAD.unpack_from(data)
    if not flags & _ANSWER or questions != 1:
        raise ValueError("not an answer to one question")
    name, at = _name(data, _HEAD.size)
    at += 4
    addresses, ttls, stale = [], [], False
    for number in range(answers + authorities + extras):
        _, at = _name(data, at)
        kind, _, ttl, size = _FIXED.unpack_from(data, at)
        at += _FIXED.size
        body, at = data[at : at + size], at + size
        if len(body) != size:
            raise ValueError("a message that is cut short")
        if kind == OPT:
            stale = stale or _says_stale(body)
        elif number < answers:
            ttls.append(ttl)  # of a CNAME on the way too: the whole answer is valid as long as its shortest part
            if kind == A and size == 4:
                addresses.append(str(ipaddress.IPv4Address(body)))
    rcode = flags & 15
    ttl = min(ttls, default=0)
    return Reply(ident, name, RCODES.get(rcode, str(rcode)), tuple(addresses), ttl, stale, bool(flags & _CUT))


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name, in lower case, and where what is behind it begins."""
    labels: list[bytes] = []
    after = 0
    for _ in range(_LONGEST_NAME):
        size = data[at]
        if size >= 0xC0:  # the rest stands elsewhere
            after, at = after or at + 2, (size & 0x3F) << 8 | data[at + 1]
        elif size:
            labels.append(data[at + 1 : at + 1 + size])
            at += 1 + size
        else:
            return b".".join(labels).decode("ascii", "replace").lower(), after or at + 1
    raise ValueError("a name without an end")


def _says_stale(options: bytes) -> bool:
    at = 0
    while at + 4 <= len(options):
        code, size = struct.unpack_from("!HH", options, at)
        if code == _EDE and size >= 2 and int.from_bytes(options[at + 4 : at + 6]) == _STALE:
            return True
        at += 4 + size
    return False
