"""clock.skew: the wall clock of one process is wrong, or runs at another rate; its monotonic clock is left alone."""

from __future__ import annotations

import http.client
import importlib.util
import re
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.override import OverrideFault, refuse_unless_preloadable
from chaoslib_ext.world import World
from drills.errors import FaultError, Refused
from drills.plan import Target
from drills.units import format_duration, parse_duration

LIBRARY = Path("vendor/libfaketime/src/libfaketime.so.1")
NEAR_S, NEAR_DATE_S = 0.5, 1.5
"""How far a clock that is told with fractions, or in whole seconds, may be from where it is to be."""

RATE_S, NEAR_RATE = 0.5, 0.1
"""For how long a rate is watched, and how far from the ordered one it may be seen."""


@fault(
    "clock.skew",
    summary="Set the wall clock of an instance wrong, or let it run at another rate; it is started again so. Not Go.",
    proof="the time that the instance itself tells differs from ours by that much",
    undo="start it again on the clock of the host",
    plane="host",
    sample="gateway-is-ahead: {clock.skew: {instance: gateway-1, by: +30s}}",
)
class ClockSkew(OverrideFault):
    """Give instances another wall clock."""

    by: str | None = Field(
        default=None, pattern=r"^[+-][0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", description="Ahead (+30s) or behind (-5s)."
    )
    rate: float | None = Field(default=None, gt=0, le=100, description="Seconds that pass for it in one of ours.")

    @model_validator(mode="after")
    def _something(self) -> ClockSkew:
        if (self.by is None) == (self.rate is None):
            raise ValueError("give either by, such as +30s, or rate, such as 1.5")
        return self

    @property
    def by_s(self) -> float:
        """Seconds ahead of ours; negative behind."""
        return 0.0 if self.by is None else float(f"{self.by[0]}1") * parse_duration(self.by[1:])

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: start gateway-1 again with a clock that is 30s ahead."""
        side = "ahead" if self.by_s > 0 else "behind"
        what = (
            f"is {format_duration(abs(self.by_s))} {side}" if self.rate is None else f"runs {self.rate:g} times as fast"
        )
        return f"start {names(targets)} again with a clock that {what}"

    def wanted(self, world: World) -> dict[str, Any]:
        """libfaketime and what it is to say. Raises Refused where the library is not installed."""
        offset = f"{self.by_s:+g}" if self.rate is None else f"+0 x{self.rate:g}"
        alone = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        return {"env": {"LD_PRELOAD": str(_library()), "FAKETIME": offset, **alone}}

    def check(self, target: Target, pid: int) -> None:
        """Go programs, and those without the system's library, are refused."""
        refuse_unless_preloadable(self.name, target, pid)

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """As every override. Raises FaultError where an instance does not tell its time, or is off already."""
        recipes = super().plan_undo(targets, world)
        for target in targets:
            seen = told(target.name, world)
            if seen is None or (self.rate is not None and seen[1] > NEAR_S):
                raise FaultError(f"{self.name}: {target.name} does not tell its time by HTTP; nothing was touched")
            if abs(seen[0]) > seen[1]:
                raise FaultError(f"{self.name}: {target.name} is off by {seen[0]:+.1f} s already; nothing was touched")
        return recipes

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Compare what each instance tells with the clock of this host."""
        texts, effect = [], time.monotonic_ns()  # a rate is watched for a while, and was there before
        for target in targets:
            if self.overridden(target, world) is None:
                return None
            text = self._offset(target, world) if self.rate is None else self._rate(target, world)
            if text is None:
                return None
            texts.append(text)
        return Witness(tuple(texts), effect)

    def _offset(self, target: Target, world: World) -> str | None:
        seen = told(target.name, world)
        if seen is None or abs(seen[0] - self.by_s) > seen[1]:
            return None
        return f"{target.name} tells a time {seen[0]:+.1f} s from ours"

    def _rate(self, target: Target, world: World) -> str | None:
        first, begun = told(target.name, world), time.monotonic()
        time.sleep(RATE_S)
        second, took = told(target.name, world), time.monotonic() - begun
        if first is None or second is None or self.rate is None:
            return None
        rate = 1 + (second[0] - first[0]) / took
        if abs(rate - self.rate) > NEAR_RATE * self.rate:
            return None
        return f"the clock of {target.name} runs {rate:.2f} times as fast as ours"


def told(instance: str, world: World) -> tuple[float, float] | None:
    """Seconds by which the time that an instance tells is ahead of ours, and how exact that is; None without answer."""
    status = world.status(instance)
    if status is not None and isinstance(status.get("clock"), int | float):
        return float(status["clock"]) - time.time(), NEAR_S
    date = _date(world.instance(instance).http)
    return None if date is None else (date - time.time(), NEAR_DATE_S)


def _date(base: str | None) -> float | None:
    """The Date that an HTTP server puts on every answer, as seconds since 1970."""
    if base is None:
        return None
    place = urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=0.5)
    try:
        connection.request("GET", "/status", headers={"Connection": "close"})
        text = connection.getresponse().getheader("Date", "")
        return parsedate_to_datetime(text).timestamp() if re.search(r"\d", text) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _library() -> Path:
    spec = importlib.util.find_spec("libfaketime")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = next((Path(folder) / LIBRARY for folder in folders if (Path(folder) / LIBRARY).is_file()), None)
    if found is None:
        fix = "pip install 'muster[sandbox]'"
        raise Refused("part-missing", f"clock.skew: libfaketime is not installed; {fix}; nothing was touched")
    return found
