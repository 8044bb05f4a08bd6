"""Names that stand for names: keyed, stable within one import, and of a shape that nothing else has."""

from __future__ import annotations

import hmac
import re
import secrets

HOW = (
    "HMAC-SHA256 under a key drawn for this import and thrown away, 64 bits of it: "
    "acct- (account), ord- (order and client id), id- (any other id)"
)
_HEX, _LETTERS = "0123456789abcdef", "bcdfghjkmnpqrstv"  # without digits and vowels: no number, address or word
_SPELL = str.maketrans(_HEX, _LETTERS)
_FORM = rf"(?:acct|ord|id)-[{_LETTERS}]{{16}}"
WITHIN = re.compile(rf"(?<![A-Za-z0-9]){_FORM}(?![A-Za-z0-9])")
"""A pseudonym within a text."""
SHAPE = re.compile(_FORM)
"""A pseudonym."""


class Pseudonyms:
    """The same name gives the same pseudonym for as long as this lives; nobody can work it out without the key."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(32) if key is None else key
        self._accounts: dict[str, str] = {}

    def account(self, name: str) -> str:
        """The pseudonym of an account."""
        found = self._accounts.get(name)
        if found is None:
            found = self._make("acct", name)
            if len(self._accounts) < 100_000:
                self._accounts[name] = found
        return found

    def order(self, name: str) -> str:
        """The pseudonym of an order: by client id, parent, or the venue's own id."""
        return self._make("ord", name)

    def other(self, name: str) -> str:
        """The pseudonym of an id of any other kind."""
        return self._make("id", name)

    def _make(self, kind: str, name: str) -> str:
        # the kind is no part of it: an order's id within a path keeps the letters of the order's pseudonym
        digest = hmac.digest(self._key, name.encode("utf-8", "surrogatepass"), "sha256")
        return f"{kind}-{digest[:8].hex().translate(_SPELL)}"
