"""What looks like a secret or a person in a string: the last look at everything that is to be written.

A pattern only proves that something is there, never that nothing is. It stands behind an allow-list, not instead of
one: a leak that it finds means that the allow-list let something through, so nothing is written at all.

detect-secrets was tried and left: it is made for source files (169 µs a line), knows neither e-mail addresses, public
IP addresses, telephone numbers nor IBANs, and takes `BTC-29DEC23-45000-C` for a secret of high entropy.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from urllib.parse import unquote

from drills.errors import DefinitionError
from loadgen.sanitise.pseudonyms import WITHIN

_BASE58 = "1-9A-HJ-NP-Za-km-z"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_PATTERNS = {
    "private key": r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
    "AWS key": r"(?<![A-Za-z0-9])(?:A3T[A-Z0-9]|ABIA|ACCA|AGPA|AIDA|AKIA|ANPA|AROA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "JSON web token": r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "bearer token": r"(?i:\b(?:bearer|basic|token|digest)\s+(?=\S*\d)[A-Za-z0-9._~+/=-]{8,})",
    "named secret": r"(?i:(?:api[-_ ]?key|secret|passw(?:or)?d|passphrase|private[-_ ]?key|access[-_ ]?token)"
    r"[\"'\\]*\s*[:=]\s*[\"'\\]*[^\s\"'\\,&}]{6,})",
    "e-mail address": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,63}",
    "IPv4 address": rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w.]|\.\d)",
    "IPv6 address": r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4})?(?![\w:])",
    "telephone number": r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?(?:\d[ .-]?){6,13}\d"
    r"|\(\d{2,4}\) ?\d{3,4}[ .-]\d{3,4}|\d{3}-\d{3,4}-\d{4})(?![\w.-])",
    "IBAN": r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Za-z0-9])",
    "Ethereum address": r"(?<![A-Za-z0-9])0[xX][0-9a-fA-F]{40}(?![0-9a-fA-F])",
    "Bitcoin address": rf"(?<![A-Za-z0-9])(?:[13](?=[1-9]*[A-Za-z])[{_BASE58}]{{25,34}}"
    r"|(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{11,71}|(?:BC1|TB1|LTC1)[02-9AC-HJ-NP-Z]{11,71})(?![A-Za-z0-9])",
    "TRON address": rf"(?<![A-Za-z0-9])T[{_BASE58}]{{33}}(?![A-Za-z0-9])",
    "UUID": r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])",
}
_LOOKED_FOR = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS.items())
_PAIRED_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_NEEDS: dict[str, Callable[[str], bool]] = {  # what must be there at all: most texts are through in a few µs
    "JSON web token": lambda text: "eyJ" in text,
    "bearer token": lambda text: " " in text,
    "named secret": lambda text: any(word in text.lower() for word in ("key", "secret", "pass", "token")),
    "e-mail address": lambda text: "@" in text,
    "IPv4 address": lambda text: text.count(".") >= 3,
    "IPv6 address": lambda text: _PAIRED_COLONS.search(text) is not None,
    "telephone number": lambda text: any(sign in text for sign in "+(-"),
    "Ethereum address": lambda text: "0x" in text or "0X" in text,
    "TRON address": lambda text: "T" in text and len(text) >= 34,
    "Bitcoin address": lambda text: len(text) >= 15,
    "UUID": lambda text: text.count("-") >= 4,
}
KINDS = (*_PATTERNS, "random string")
"""Every kind of leak."""

LONG = 20
"""Shorter strings cannot be told from ids and abbreviations by their letters alone."""
HEX_BITS, OTHER_BITS = 2.5, 3.0
"""Shannon entropy, bits a character, from which a string of LONG is taken for random.

The entropy of a short string is far below that of its source: of 20 random characters at most log2(20) = 4.3 bits show.
Over 20 000 random strings of 20, all but one in ten thousand had more than 2.53 (hex) and 3.05 bits (base 32; base 64:
3.41); longer ones have more. The 4.5 bits that scanners of source code ask for would miss nearly all of them.
"""

_ALONE = re.compile(r"(?:(?<=[\"=,\[])|(?<=\":))\d{1,18}(?:\.\d{1,18})?(?=[\"&,\]}\\])")
_ODD = 10
"""So much of a run, and half of it, must be neither word nor number: a path of short ids and words is not random."""
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{LONG},}}")
_PARTS = re.compile(r"[-_/+]+")
_LONGEST_WORD = 200
_PLAIN = re.compile(
    r".{1,4}|[a-z]{1,19}|[A-Z]{1,19}"  # scraps, words
    r"|[A-Z]{0,5}[a-z]{2,19}(?:[A-Z]{1,4}[a-z]{2,19}|Or|To|By|Of|In|Id)*(?:\d{1,4})?"  # camelCase, orderbook50
    r"|(?=.{1,15}$)(?:\d{1,7}[A-Z]{2,}|[A-Z]{2,}\d{1,6})|\d{1,2}[A-Z]{3}\d{2}"  # 1000PEPEUSDT, BTC2024, 29DEC23
)


class LeakFound(DefinitionError):
    """What was to be written holds a secret or a person; tells the kind and the place, never the thing itself."""

    def __init__(self, file: str, where: str, kind: str) -> None:
        an = "an" if kind[0] in "AIEe" else "a"
        super().__init__(
            file,
            f"{where} holds what looks like {an} {kind}; nothing was written",
            hint="take it out of the recording, or keep everything with --raw, for the sandbox only",
        )
        self.kind = kind


def outline(text: str) -> str:
    """A text without what can be no part of a leak: pseudonyms go, and numbers that stand alone become one number.

    Payloads that differ in prices, quantities and names have one outline, so that it need be looked at only once.
    """
    return _ALONE.sub("000000", WITHIN.sub(" ", text))


def find(text: str) -> str | None:
    """The kind of the first leak in a text, or None; our own pseudonyms are none."""
    return next(kinds(text), None)


def kinds(text: str) -> Iterator[str]:
    """Every kind of leak in a text, each once."""
    if len(text) < 7:
        return
    bare = outline(text)
    seen = set()
    for kind in _leaks(bare):
        seen.add(kind)
        yield kind
    if "%" in bare and (decoded := unquote(bare)) != bare:
        yield from (kind for kind in _leaks(decoded) if kind not in seen)


def _leaks(text: str) -> Iterator[str]:
    for kind, pattern in _LOOKED_FOR:
        needs, check = _NEEDS.get(kind), _CHECKS.get(kind)
        if needs is not None and not needs(text):
            continue
        if any(check is None or check(found[0]) for found in pattern.finditer(text)):
            yield kind
    if any(random(run) for run in _RUN.findall(text)):
        yield "random string"


def random(run: str) -> bool:
    """Whether a run of letters, digits and `+/_-` is random: little of it is words, numbers and symbols."""
    parts = _PARTS.split(run)
    odd, whole = sum(len(part) for part in parts if not _plain(part)), "".join(parts)
    if odd < _ODD or odd * 2 < len(whole):
        return False
    return entropy(whole) >= (HEX_BITS if re.fullmatch(r"[0-9a-fA-F]+", whole) else OTHER_BITS)


def _plain(part: str) -> bool:
    return part.isdecimal() or (len(part) <= _LONGEST_WORD and _PLAIN.fullmatch(part) is not None)


def entropy(text: str) -> float:
    """Shannon entropy of a text by its own frequencies, in bits a character."""
    shares = (count / len(text) for count in Counter(text).values())
    return -sum(share * math.log2(share) for share in shares)


def _ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).packed[:15] != bytes(15)  # neither :: nor ::1
    except ValueError:
        return False


def _iban(text: str) -> bool:
    """ISO 13616: the four first characters moved to the end, letters as 10…35, modulo 97 is 1."""
    bare = text.replace(" ", "")
    return 15 <= len(bare) <= 34 and int("".join(str(int(char, 36)) for char in bare[4:] + bare[:4])) % 97 == 1


_CHECKS = {"IPv6 address": _ipv6, "IBAN": _iban}
