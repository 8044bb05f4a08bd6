"""Keys, signatures and receive windows of the client interface, as Bybit V5 has them.

The secret of an account is derived from one master secret, so that a run may invent accounts without a table.
The clock is an argument: nothing here reads it.
"""

from __future__ import annotations

import hmac
import re

from sandbox.exchange.codes import RetCode

AUTH_TEXT = "GET/realtime"
DEFAULT_WINDOW_MS = 5000
MAX_WINDOW_MS = 60_000
FUTURE_MS = 1000
"""A timestamp may be this far ahead of the server, whatever the window."""

_ACCOUNT = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_KEPT_KEYS = 10_000


def account_secret(master: bytes, account: str) -> str:
    """The API secret of `account`: hex HMAC-SHA256 of its name under the master secret."""
    return hmac.digest(master, account.encode(), "sha256").hex()


def sign(secret: str, text: str) -> str:
    """Hex HMAC-SHA256 of `text` under an API secret."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def milliseconds(value: object) -> int | None:
    """A time in ms given as an integer or as decimal text; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and 0 < len(value) <= 16 and value.isascii() and value.isdecimal():
        return int(value)
    return None


def check_window(stamp: object, window: object, now_ms: int) -> RetCode:
    """OK when `stamp` lies in [now - window, now + 1 s); an absent window is 5 s, the largest is 60 s."""
    stamp_ms = milliseconds(stamp)
    window_ms = DEFAULT_WINDOW_MS if window is None else milliseconds(window)
    if stamp_ms is None or window_ms is None or not 0 < window_ms <= MAX_WINDOW_MS:
        return RetCode.BAD_TIMESTAMP
    return RetCode.OK if now_ms - window_ms <= stamp_ms < now_ms + FUTURE_MS else RetCode.BAD_TIMESTAMP


class Keyring:
    """Checks signatures of any account of one master secret."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._secrets: dict[str, str] = {}

    def _secret(self, account: str) -> str:
        secret = self._secrets.get(account)
        if secret is None:
            if len(self._secrets) >= _KEPT_KEYS:
                self._secrets.clear()
            secret = self._secrets[account] = account_secret(self._master, account)
        return secret

    def _matches(self, account: str, text: str, signature: object) -> bool:
        if not isinstance(signature, str) or not signature.isascii():
            return False
        return hmac.compare_digest(sign(self._secret(account), text), signature)

    def check_request(
        self, key: str | None, stamp: str | None, window: str | None, signature: str | None, payload: str, now_ms: int
    ) -> RetCode:
        """A REST request: `payload` is its body, or its query string as sent; the texts are its headers."""
        if key is None or _ACCOUNT.fullmatch(key) is None:
            return RetCode.BAD_KEY
        in_time = check_window(stamp, window, now_ms)
        if in_time != RetCode.OK:
            return in_time
        text = f"{stamp}{key}{window or ''}{payload}"
        return RetCode.OK if self._matches(key, text, signature) else RetCode.BAD_SIGNATURE

    def check_login(self, key: object, expires: object, signature: object, now_ms: int) -> RetCode:
        """A WebSocket login that is valid until `expires` (ms)."""
        if not isinstance(key, str) or _ACCOUNT.fullmatch(key) is None:
            return RetCode.BAD_KEY
        expires_ms = milliseconds(expires)
        if expires_ms is None or expires_ms < now_ms:
            return RetCode.BAD_TIMESTAMP
        return RetCode.OK if self._matches(key, f"{AUTH_TEXT}{expires_ms}", signature) else RetCode.BAD_SIGNATURE
