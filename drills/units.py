"""Durations and shares as people write them: 5s, 500ms, 35d and 20%."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s?%", re.ASCII)


def parse_duration(text: object) -> float:
    """Seconds of "5s", "500ms", "2m", "1h" or "35d"; a bare number has no unit and is refused.

    Raises ValueError (a pydantic error inside a model) that names the value and a way to write it.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise PydanticCustomError("duration", "{value} is not a duration; write {hint}", _advice(text))
    return float(Decimal(match[1]) * _SECONDS[match[2]])


def format_duration(seconds: float) -> str:
    """The shortest exact text of `seconds`, such as 90s, 5m or 250ms; parse_duration gives it back."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("d", "h", "m", "s"):
        count = exact / _SECONDS[unit]
        if count and count == count.to_integral_value() and (unit != "m" or count >= 2):
            return f"{int(count)}{unit}"
    if not exact:
        return "0s"
    unit = "ms" if exact < 1 else "s"
    text = format(exact / _SECONDS[unit], "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) + unit


def parse_percent(text: object) -> float:
    """The share of "20%" (0.2), at most 100%; raises ValueError that names the value."""
    match = _PERCENT.fullmatch(text) if isinstance(text, str) else None
    if match is None or Decimal(match[1]) > 100:
        raise PydanticCustomError("percent", "{value} is not a share; write 20%", {"value": quoted(text)})
    return float(Decimal(match[1]) / 100)


def format_percent(share: float) -> str:
    """The text of a share, such as 20%; parse_percent gives it back."""
    text = format(Decimal(repr(float(share))) * 100, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "%"


def quoted(value: object, limit: int = 60) -> str:
    """A value for a message: text in double quotes, others as YAML would show them, cut at `limit` characters."""
    match value:
        case None:
            shown = "nothing"
        case bool():
            shown = "true" if value else "false"
        case str():
            text = value if value.isprintable() else value.encode("unicode_escape").decode()
            shown = '"' + (text if len(text) <= limit else text[: limit - 1] + "…") + '"'
        case dict():
            shown = "a mapping"
        case list() | tuple():
            shown = "a list"
        case _:
            shown = str(value)[:limit]
    return shown


def _advice(value: object) -> dict[str, object]:
    # what was most likely meant comes first: 10 -> 10s, "5 sec" -> 5s
    words = {"ms": "ms", "msec": "ms", "milli": "ms", "s": "s", "sec": "s", "m": "m", "min": "m", "h": "h", "d": "d"}
    hint = "5s, 500ms or 2m"
    found = (
        re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower()) if not isinstance(value, bool) else None
    )
    if found:
        unit = (
            "s"
            if not found[2]
            else next((u for w, u in sorted(words.items(), reverse=True) if found[2].startswith(w)), "")
        )
        hint = f"{found[1]}{unit}" if unit and found[2] in ("", "ms", "m") else hint
    return {"value": quoted(value), "hint": hint}


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", "examples": ["5s", "500ms"]}),
]
"""Seconds as float, written "5s"; dumped as text again, so that a dump loads."""

Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    PlainSerializer(format_percent, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$", "examples": ["20%"]}),
]
"""A share between 0 and 1, written "20%"; dumped as text again."""
