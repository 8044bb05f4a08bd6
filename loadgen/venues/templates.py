"""Requests with holes: `{{id}}`, `{{price}}` and their like, filled in when a request is rendered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drills.errors import DefinitionError

HOLES = ("id", "parent", "server_id", "account", "symbol", "side", "type", "tif", "price", "qty", "now_ms")
_HOLE = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")


class Template(BaseModel):
    """One request; `path` may hold a query. A `body` that is no text is sent as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "POST"
    path: str = Field(pattern=r"^/")
    headers: dict[str, str] = {}
    body: Any = None

    def needs(self, hole: str) -> bool:
        """Whether the request has such a hole."""
        return any(found == hole for text in (self.path, self.text) for found in _HOLE.findall(text))

    @cached_property
    def text(self) -> str:
        """The body as text."""
        if self.body is None:
            return ""
        return self.body if isinstance(self.body, str) else orjson.dumps(self.body).decode()

    def fill(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Path and body with their holes filled, each in the manner of its place."""
        return fill_path(self.path, values), fill_body(self.text, values)


def fill_path(path: str, values: Mapping[str, str]) -> str:
    """A path whose holes are filled, percent-encoded; a hole of another name stays as it is."""
    return _fill(path, {name: quote(value, safe="") for name, value in values.items()})


def fill_body(body: str, values: Mapping[str, str]) -> str:
    """A body whose holes are filled; in JSON the values are escaped as its strings are."""
    if body[:1] in ("{", "["):
        values = {name: orjson.dumps(value).decode()[1:-1] for name, value in values.items()}
    return _fill(body, values)


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda hole: values.get(hole[1], hole[0]), text) if "{{" in text else text


def templates(venue: Mapping[str, Any]) -> dict[str, Template]:
    """`venue.templates`: place, cancel, amend and status; raises DefinitionError naming the first wrong field."""
    raw = venue.get("templates") or {}
    if not isinstance(raw, Mapping) or set(raw) - {"place", "cancel", "amend", "status"}:
        raise DefinitionError("venue.templates", "is not a mapping of place, cancel, amend and status")
    found = {}
    for name, value in raw.items():
        try:
            found[str(name)] = template = Template.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["venue.templates", str(name), *(str(part) for part in first["loc"])])
            raise DefinitionError(where, first["msg"]) from error
        for hole in _HOLE.findall(template.path + template.text):
            if hole not in HOLES:
                raise DefinitionError(
                    f"venue.templates.{name}", f"no value for {{{{{hole}}}}}", hint=f"known: {', '.join(HOLES)}"
                )
    return found


def pointed(value: object, pointer: str) -> str | None:
    """What a JSON pointer (RFC 6901) names in a value, as text; None where there is no text or number there."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdecimal() and len(key) < 9 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)
