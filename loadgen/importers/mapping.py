"""The mapping file of a CSV or JSONL recording: which of its columns is what.

    t: {column: ts, unit: ms}
    op: {column: event, map: {NEW: place, CXL: cancel, RPL: amend}}
    side: {column: side, map: {B: Buy, S: Sell}}
    symbol: {constant: BTCUSDT}
    price: px
    skip: [{column: status, is: [rejected]}]

A field is the name of a column, or a mapping as above; all that a trace knows may be named, only `t` and `op` must be.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from drills.errors import DefinitionError, DefinitionErrors
from drills.loader_messages import problems
from drills.units import quoted
from drills.yamlpos import Document, parse

_MAX_BYTES = 1 << 20
Op = Literal["place", "cancel", "amend", "withdraw", "transfer", "request", "read"]
Side = Literal["Buy", "Sell"]
Type = Literal["Limit", "Market"]
Tif = Literal["GTC", "IOC", "PostOnly"]


class Column(BaseModel):
    """Where a value comes from: a column, with the words that its values stand for, or a constant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = None
    constant: str | None = None
    map: dict[str, str] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.column is None) == (self.constant is None):
            raise ValueError("needs either column or constant")
        return self


class OpColumn(Column):
    """What kind of operation a record is (frozen, so a narrower type is safe)."""

    constant: Op | None = None
    map: dict[str, Op] | None = None  # type: ignore[assignment]


class SideColumn(Column):
    """Buy or Sell."""

    constant: Side | None = None
    map: dict[str, Side] | None = None  # type: ignore[assignment]


class TypeColumn(Column):
    """Limit or Market."""

    constant: Type | None = None
    map: dict[str, Type] | None = None  # type: ignore[assignment]


class TifColumn(Column):
    """Time in force."""

    constant: Tif | None = None
    map: dict[str, Tif] | None = None  # type: ignore[assignment]


class LatencyColumn(Column):
    """How long the answer took."""

    unit: Literal["s", "ms", "us", "ns"] = "us"


class TimeColumn(BaseModel):
    """The time of a record: a number (of a unit that its size tells where none is given), ISO 8601, or a format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    unit: Literal["auto", "s", "ms", "us", "ns", "iso"] | None = None
    format: str | None = None  # as strptime has it
    zone: str | None = None  # of times that tell none; UTC

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                datetime.strptime(datetime(2021, 1, 2, tzinfo=UTC).strftime(value), value)
            except ValueError as error:
                raise ValueError(
                    f'{quoted(value)} is no strptime format; write something like "%Y-%m-%d %H:%M:%S.%f"'
                ) from error
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                zoneinfo.ZoneInfo(value)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder of zones
                raise ValueError(f"{quoted(value)} is no time zone; write one like Asia/Tokyo") from error
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.unit is not None and self.format is not None:
            raise ValueError("has both unit and format; give one")
        return self


class Skip(BaseModel):
    """Records to leave out: those with one of these values in a column, or with none of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    column: str
    is_: tuple[str, ...] | None = Field(default=None, alias="is")
    not_: tuple[str, ...] | None = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.is_ is None) == (self.not_ is None):
            raise ValueError("needs either is or not")
        return self


def _short(value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return {"column": value} if isinstance(value, str) else value


_Short = BeforeValidator(_short)
_Text = Annotated[Column, _Short]


class Mapping(BaseModel):
    """What each column of a recording is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    t: Annotated[TimeColumn, _Short]
    op: Annotated[OpColumn, _Short]
    session: _Text | None = None
    account: _Text | None = None
    symbol: _Text | None = None
    side: Annotated[SideColumn, _Short] | None = None
    type: Annotated[TypeColumn, _Short] | None = None
    tif: Annotated[TifColumn, _Short] | None = None
    price: _Text | None = None
    qty: _Text | None = None
    client_id: _Text | None = None
    parent: _Text | None = None
    status: _Text | None = None
    latency: Annotated[LatencyColumn, _Short] | None = None
    method: _Text | None = None  # of a request: its parts, or the whole payload as a trace has it
    path: _Text | None = None
    body: _Text | None = None
    message: _Text | None = None
    payload: _Text | None = None
    skip: tuple[Skip, ...] = ()
    delimiter: str = Field(default=",", min_length=1, max_length=1)  # csv
    columns: tuple[str, ...] | None = None  # of a csv whose first line is data already

    def named(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Every column that is named, with its place in the file."""
        found: list[tuple[tuple[str | int, ...], str]] = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Column | TimeColumn) and value.column is not None:
                found.append(((name, "column"), value.column))
        return found + [(("skip", n, "column"), rule.column) for n, rule in enumerate(self.skip)]


_SAME = ("op", "session", "account", "symbol", "side", "type", "tif", "price", "qty", "client_id", "parent", "status")
OURS = Mapping.model_validate(
    {"t": {"column": "t_ns", "unit": "ns"}, "latency": "latency_us", "payload": "payload"}
    | {name: name for name in _SAME}
)
"""The columns of our own exports, for a recording without a mapping file."""


def load(path: Path) -> tuple[Mapping, Document]:
    """Read a mapping file; raises DefinitionErrors with all its mistakes, each at its line and column."""
    file = str(path)
    try:
        document = parse(_text(path), file)
        mapping = Mapping.model_validate(document.data)
    except DefinitionErrors:
        raise
    except DefinitionError as error:
        raise DefinitionErrors(file, [error]) from error
    except ValidationError as error:
        found = [
            document.error(p.path, f"{p.label}: {p.message}" if p.label else p.message, p.hint, at_key=p.at_key)
            for p in problems(error, Mapping)
        ]
        raise DefinitionErrors(file, [*document.mistakes, *found]) from error
    if document.mistakes:
        raise DefinitionErrors(file, document.mistakes)
    return mapping, document


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DefinitionError(str(path), "no such file", hint="name the mapping file") from error
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise DefinitionError(str(path), f"is not UTF-8 text (byte {error.start})") from error
    if len(raw) > _MAX_BYTES or "\0" in text:
        raise DefinitionError(str(path), "is not a mapping file; that is a page of YAML")
    return text
