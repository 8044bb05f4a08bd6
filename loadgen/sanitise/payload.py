"""Payloads through the allow-list: HTTP requests and WebSocket messages, field by field.

What is not on a list of `words` is left out; what is, must look like what it is. Text is never copied as it came:
paths, queries, forms and JSON are taken apart and put together again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import orjson

from loadgen.sanitise import words
from loadgen.sanitise.pseudonyms import Pseudonyms

_DEEPEST, _MOST_SEGMENTS, _LONGEST_SEGMENT, _MOST_FIELDS = 12, 24, 80, 500
_SIGN_IN = frozenset({"auth", "login", "logon", "authenticate", "signin"})
_SUBWORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class Unusable(Exception):
    """A payload of which nothing is left to send; the message says why, in words of our own."""


class _Refused(Exception):
    """One value does not look like what its name promises."""


class Payloads:
    """Cleans payloads; counts in `dropped` what was left out, in `renamed` what got a pseudonym."""

    def __init__(self, names: Pseudonyms, keep: frozenset[str], dropped: Counter[str], renamed: Counter[str]) -> None:
        self._names, self._dropped, self._renamed = names, dropped, renamed
        self._path_words = words.PATH_WORDS | keep
        self._kinds: dict[str, Callable[[Any], Any]] = {
            **dict.fromkeys(words.NUMBERS, _number),
            **dict.fromkeys(words.FLAGS, _flag),
            **dict.fromkeys(words.SYMBOLS, _symbol),
            **dict.fromkeys(words.WORD_KEYS, _word),
            **dict.fromkeys(words.NESTED, _topic),  # of a list: {"args": ["orderbook.50.BTCUSDT"]}
            **dict.fromkeys(words.TOPIC_KEYS, _topic),
            **dict.fromkeys(words.ORDER_IDS, self._renamer("order id", names.order)),
            **dict.fromkeys(words.ACCOUNT_IDS, self._renamer("account", names.account)),
            **dict.fromkeys(words.OTHER_IDS, self._renamer("other id", names.other)),
        }

    def clean(self, payload: bytes) -> bytes:
        """A payload as it may be kept; raises Unusable."""
        try:
            raw = orjson.loads(payload)
        except ValueError as error:
            raise Unusable("payload that is not JSON") from error
        if isinstance(raw, dict) and isinstance(raw.get("message"), str):
            return orjson.dumps({"message": self._message(raw["message"])})
        if isinstance(raw, dict) and isinstance(raw.get("method"), str) and isinstance(raw.get("path"), str):
            return orjson.dumps(self._request(raw))
        raise Unusable("payload that is neither a request nor a message")

    # -- HTTP ----------------------------------------------------------------------------------------------------------

    def _request(self, raw: dict[str, Any]) -> dict[str, Any]:
        if raw["method"] not in words.METHODS:
            raise Unusable("request with an unknown method")
        made: dict[str, Any] = {"method": raw["method"], "path": self._path(raw["path"])}
        headers = raw.get("headers")
        made["headers"] = self._headers(headers if isinstance(headers, dict) else {})
        body = raw.get("body")
        if isinstance(body, str) and body.strip():
            cleaned = self._body(body)
            if cleaned is not None:
                made["body"] = cleaned
        return made

    def _headers(self, headers: dict[str, Any]) -> dict[str, str]:
        kept = {}
        for name, value in headers.items():
            form = words.HEADERS.get(name.lower())
            if form is not None and isinstance(value, str) and form.fullmatch(value.strip()):
                kept[name.lower()] = value.strip()
            else:
                self._dropped[f"header {name.lower() if form else words.label(name)}"] += 1
        return kept

    def _path(self, text: str) -> str:
        if "://" in text:  # to a proxy: the host may be nobody's business
            text = "/" + text.partition("://")[2].partition("/")[2]
        path, _, query = text.partition("#")[0].partition("?")
        segments = [segment for segment in path.split("/") if segment]
        if len(segments) > _MOST_SEGMENTS:
            raise Unusable("request with a path of too many parts")
        made = "/" + "/".join(self._segment(segment) for segment in segments)
        kept = self._form(query, "query") if query else ""
        return f"{made}?{kept}" if kept else made

    def _segment(self, segment: str) -> str:
        if len(segment) <= _LONGEST_SEGMENT and (_routed(segment, self._path_words) or _paired(segment)):
            return segment
        self._renamed["part of a path"] += 1
        return self._names.other(unquote(segment, errors="replace"))

    def _body(self, text: str) -> str | None:
        try:
            raw = orjson.loads(text)
        except ValueError:
            kept = self._form(text, "body") if "=" in text else None
            if kept is None:
                self._dropped["body that is neither JSON nor a form"] += 1
            return kept
        if not isinstance(raw, dict | list):
            self._dropped["body that is a bare value"] += 1
            return None
        return orjson.dumps(self._tree(raw, "body", 0)).decode()

    def _form(self, text: str, where: str) -> str | None:
        try:
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            self._dropped[f"{where} of too many fields"] += 1
            return None
        kept = [(name, self._value(name, value, where)) for name, value in fields]
        return urlencode([(name, value) for name, value in kept if value is not None], quote_via=quote)

    # -- WebSocket -----------------------------------------------------------------------------------------------------

    def _message(self, text: str) -> str:
        try:
            raw = orjson.loads(text)
        except ValueError as error:
            if text in ("ping", "pong"):
                return text
            raise Unusable("message that is not JSON") from error
        if not isinstance(raw, dict):
            raise Unusable("message that is no JSON object")
        for key in words.TOPIC_KEYS & raw.keys():
            if _SIGN_IN & set(re.split(r"[^a-z]+", str(raw[key]).lower())):
                raise Unusable("message that signs in")
        made = self._tree(raw, "message", 0)
        if not made:
            raise Unusable("message without a known field")
        return orjson.dumps(made).decode()

    # -- JSON ----------------------------------------------------------------------------------------------------------

    def _tree(self, raw: Any, where: str, depth: int) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(raw, list):
            kept = (self._tree(item, where, depth + 1) for item in raw if isinstance(item, dict))
            return [item for item in kept if item]
        made = {}
        for name, value in raw.items():
            if isinstance(value, dict | list) and words.bare(name) in words.NESTED and depth < _DEEPEST:
                inner: Any = self._tree(value, where, depth + 1)
                if isinstance(value, list):
                    inner += self._values(name, [item for item in value if not isinstance(item, dict | list)], where)
                made[name] = inner
            elif isinstance(value, list):
                made[name] = self._values(name, value, where)
            else:
                made[name] = self._value(name, value, where)
        return {name: value for name, value in made.items() if value not in (None, [])}

    def _values(self, name: str, values: list[Any], where: str) -> list[Any]:
        return [kept for value in values if (kept := self._value(name, value, where)) is not None]

    def _value(self, name: str, value: Any, where: str) -> Any:  # noqa: ANN401 - any JSON
        """The value that may stay, or None (null says no more than its absence)."""
        kind = self._kinds.get(words.bare(name))
        if kind is not None and isinstance(value, str | int | float):
            try:
                return kind(value)
            except _Refused:
                pass
        if value is not None:
            self._dropped[f"{where} {words.label(name)}"] += 1
        return None

    def _renamer(self, what: str, rename: Callable[[str], str]) -> Callable[[Any], str]:
        def renamed(value: str | float) -> str:
            self._renamed[what] += 1
            return rename(str(value))

        return renamed


@lru_cache(maxsize=4096)
def _routed(segment: str, known: frozenset[str]) -> bool:
    """Whether a part of a path is made of words that are known, with at most one number of three digits."""
    if segment in known or re.fullmatch(r"v\d{1,2}(?:\.\d)?", segment):
        return True
    parts = _SUBWORD.findall(segment)
    numbers = [part for part in parts if part.isdigit()]
    if sum(map(len, parts)) != len(re.sub(r"[-_.]", "", segment)) or len(numbers) > 1:
        return False
    return all((len(part) > 1 and part.lower() in known) or (part.isdigit() and len(part) <= 3) for part in parts)


def _paired(text: str) -> bool:
    return text in (text.upper(), text.lower()) and words.PATH_SYMBOL.fullmatch(text.upper()) is not None


def _number(value: str | float) -> str | float:
    if not isinstance(value, str) or words.NUMBER.fullmatch(value):
        return value
    raise _Refused


def _flag(value: str | float) -> str | float:
    if isinstance(value, bool) or value in (0, 1, "0", "1", "true", "false", "True", "False"):
        return value
    raise _Refused


def _symbol(value: str | float) -> str:
    if isinstance(value, str) and words.SYMBOL.fullmatch(value):
        return value
    raise _Refused


def _word(value: str | float) -> str | float:
    if isinstance(value, str):
        text = re.sub(r"[-_ .]", "", value).lower() if len(value) <= 32 else ""
        if text in words.WORDS or re.fullmatch(r"\d{1,3}", value):
            return value
    elif isinstance(value, int) and -1 <= value <= 999:
        return value
    raise _Refused


def _topic(value: str | float) -> str | float:
    """`orderbook.50.BTCUSDT`: words and pairs, and at most two numbers among them."""
    if isinstance(value, str) and len(value) <= 64:
        parts = re.split(r"[.:@/]", value)
        numbers = [part for part in parts if re.fullmatch(r"\d{1,4}", part)]
        named = all(part in numbers or part.lower() in words.WORDS or _paired(part) for part in parts)
        if named and len(numbers) <= min(2, len(parts) - 1):
            return value
    raise _Refused
