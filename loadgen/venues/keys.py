"""API keys: who a session of the replay is to the venue. Secrets are read here, handed on, and never shown."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from drills.errors import ComponentError, DefinitionError

Secret = Callable[[int], tuple[str, bytes]]
"""API key and secret of a session."""


def account_of(session: int) -> str:
    """The account of a session of the replay where the venue does not care what it is called."""
    return f"acct-{session}"


def of(venue: Mapping[str, Any]) -> Secret:
    """Keys of the sessions of a venue.

    `secret_file`: one master secret, from which the secret of each account is derived (the sandbox). Else `keys`:
    `{file: <path>}` names JSON of `[{"key": …, "secret": …}, …]`, which the sessions share in turn, and
    `{key_env: NAME, secret_env: NAME}` names environment variables; these two may also stand in the venue itself.
    Raises DefinitionError, which names file or variable and never shows what is in it.
    """
    if venue.get("secret_file"):
        return _derived(Path(str(venue["secret_file"])))
    named = venue.get("keys", venue)
    if not isinstance(named, Mapping):
        raise DefinitionError("venue.keys", "is not a mapping", hint="write {file: …} or {key_env: …, secret_env: …}")
    if named.get("file"):
        pairs = _pairs(Path(str(named["file"])))
    elif named.get("key_env") and named.get("secret_env"):
        pairs = [(_variable(str(named["key_env"])), _variable(str(named["secret_env"])).encode())]
    else:
        raise DefinitionError("venue.keys", "no API key", hint="write {file: …} or {key_env: …, secret_env: …}")
    return lambda session: pairs[session % len(pairs)]


def headers_from_environment(venue: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Headers whose values stand in environment variables, as `headers_env: {Authorization: STAGING_TOKEN}` says."""
    named = venue.get("headers_env") or {}
    if not isinstance(named, Mapping):
        raise DefinitionError("venue.headers_env", "is not a mapping", hint="write {header: VARIABLE}")
    return [(str(header), _variable(str(name))) for header, name in named.items()]


def _derived(path: Path) -> Secret:
    try:
        master = path.read_bytes().strip()
    except OSError as error:
        why = (error.strerror or "unreadable").lower()
        raise ComponentError("venue", f"{path}: {why}; is the sandbox up?") from error
    known: dict[int, tuple[str, bytes]] = {}

    def secret(session: int) -> tuple[str, bytes]:
        pair = known.get(session)
        if pair is None:
            account = account_of(session)
            pair = known[session] = (account, hmac.digest(master, account.encode(), "sha256").hex().encode())
        return pair

    return secret


def _variable(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise DefinitionError("venue.keys", f"environment variable {name} is not set", hint="export it")
    if not (value.isascii() and value.isprintable()):
        raise DefinitionError("venue.keys", f"environment variable {name} holds more than printable ASCII")
    return value


def _pairs(path: Path) -> list[tuple[str, bytes]]:
    try:
        raw = orjson.loads(path.read_bytes())
    except OSError as error:
        raise DefinitionError(str(path), (error.strerror or "unreadable").lower(), hint="see venue.keys") from error
    except orjson.JSONDecodeError:
        raw = None  # the parser's message would show what is in the file
    pairs = [_pair(entry) for entry in raw] if isinstance(raw, list) else []
    found = [pair for pair in pairs if pair is not None]
    if not found or len(found) != len(pairs):
        raise DefinitionError(str(path), "is not a list of keys", hint='write [{"key": "…", "secret": "…"}, …]')
    return found


def _pair(entry: object) -> tuple[str, bytes] | None:
    key, secret = (entry.get("key"), entry.get("secret")) if isinstance(entry, dict) else (None, None)
    texts = [text for text in (key, secret) if isinstance(text, str) and text.isascii() and text.isprintable()]
    return (texts[0], texts[1].encode()) if len(texts) == 2 and all(texts) else None
