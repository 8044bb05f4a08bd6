"""What a model of flow is made of: a page of JSON, without one row or name of a client of the recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from drills.errors import DefinitionError
from drills.loader_messages import problems
from drills.model_base import Model
from loadgen.transform.base import Amount

MOST_SESSIONS = 100_000
POOLED = "*"
"""The flow of all symbols together, for those with too few orders of their own."""

Share = Annotated[float, Field(ge=0, le=1)]
LEVELS = (
    *(0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    *(0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 1.0),
)
Quantiles = Annotated[tuple[float, ...], Field(min_length=len(LEVELS), max_length=len(LEVELS))]
"""A distribution: its values at LEVELS of probability, straight lines between them."""


class Cluster(Model):
    """Operations that come together: `size` of them on average, within about `scale_ns`; `share` of all operations."""

    scale_ns: Annotated[int, Field(gt=0)]
    share: Annotated[float, Field(gt=0, le=1)]
    size: Annotated[float, Field(ge=1)]


class Skew(Model):
    """How much of the orders each session sends: (rank / sessions + offset) ** -exponent, in parts of the whole.

    The law of Zipf and Mandelbrot, with ranks as parts of their number, so that it fits any number of sessions.
    """

    exponent: Annotated[float, Field(ge=0, le=10)]
    offset: Annotated[float, Field(ge=0)]


class Next(Model):
    """What comes next for an order: an amend, a cancel or nothing, and after how long (log10 of ns)."""

    amend: Share
    cancel: Share
    amend_after: Quantiles | None = None
    cancel_after: Quantiles | None = None


class Orders(Model):
    """Orders of one type and time in force: their share, distance from the mid (ticks, to the far side), and lots."""

    type: Literal["Limit", "Market"]
    tif: Literal["GTC", "IOC", "PostOnly"]
    share: Annotated[float, Field(gt=0, le=1)]
    away: Quantiles | None = None
    lots: Quantiles

    @model_validator(mode="after")
    def _priced(self) -> Orders:
        if (self.type == "Limit") != (self.away is not None):
            raise PydanticCustomError("away", "away belongs to Limit orders, and only to them")
        return self


class Flow(Model):
    """Orders of one symbol."""

    buys: Share
    orders: Annotated[tuple[Orders, ...], Field(min_length=1)]


class Amends(Model):
    """What amends change: how many of them the price and how many the quantity, and to what."""

    priced: Share
    sized: Share
    away: Quantiles | None = None
    lots: Quantiles | None = None


class Market(Model):
    """One symbol: its share of the orders, its grid as decimal text, and its mid in ticks."""

    weight: Annotated[float, Field(gt=0)]
    tick: Amount
    lot: Amount
    mid: Annotated[float, Field(gt=0, le=2**52)]


class FlowModel(Model):
    """Flow as numbers; see `fit`, which makes one of a trace, and `make`, which makes a trace of one."""

    version: Literal[1] = 1
    like: str
    seconds: Annotated[float, Field(gt=0)]
    rate: Annotated[float, Field(gt=0)]
    sessions: Annotated[int, Field(ge=1, le=MOST_SESSIONS)]
    skew: Skew
    arrivals: tuple[Cluster, ...]
    symbols: Annotated[dict[str, Market], Field(min_length=1)]
    flows: dict[str, Flow]
    amends: Amends
    after: dict[str, Annotated[tuple[Next, ...], Field(min_length=1)]]
    """By type and time in force of the order, such as "Limit GTC", and "amend" for after an amend.

    Several are for equal parts of these orders, the nearest to the other side of the book first: those are taken there,
    and the far ones cancelled.
    """

    @model_validator(mode="after")
    def _whole(self) -> FlowModel:
        if POOLED not in self.flows:
            raise PydanticCustomError("pooled", 'flows has no "{pooled}"', {"pooled": POOLED})
        amended = any(law.amend for laws in self.after.values() for law in laws)
        if amended and self.amends.away is None and self.amends.lots is None:
            raise PydanticCustomError("amends", "amends change neither away nor lots")
        return self


def save(model: FlowModel, path: Path) -> None:
    """Write a model as JSON; raises DefinitionError where that fails."""
    try:
        path.write_text(model.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be written: {(error.strerror or str(error)).lower()}") from error


def load(path: Path) -> FlowModel:
    """Read a model; raises DefinitionError with one line for a file that is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DefinitionError(str(path), f"cannot be read: {why}") from error
    try:
        return FlowModel.model_validate_json(text)
    except ValidationError as error:
        found = problems(error, FlowModel)[0]
        said = f"{found.label}: {found.message}" if found.label else found.message
        raise DefinitionError(str(path), f"is not a flow model: {said}", hint="make one with --like TRACE") from error
