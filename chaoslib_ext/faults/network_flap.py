"""network.flap: a link goes down and comes back, over and over, as a bad cable or a lost route does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault, names, select_links
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.helpers import spawn
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target
from drills.units import Duration, format_duration

GRACE_S = 5.0
"""The guardian undoes at the end of the duration; the helper ends by itself only where nobody did."""

RETURNS_S = 2.0
"""A link that is down for longer is not awaited: that it refuses is proof enough."""


@dataclass
class _Seen:
    """When a link was first seen to refuse connections; CLOCK_MONOTONIC nanoseconds."""

    refused_ns: int | None = None


@fault(
    "network.flap",
    summary="Cut a link and open it again, over and over.",
    proof="connections through it are refused, and where it is down for at most 2s, taken again by themselves",
    undo="end the helper that switches it, then open the link",
    plane="network",
    sample="bad-cable: {network.flap: {link: engine-bus, up: 2s, down: 1s}}",
)
class NetworkFlap(Fault):
    """Make links flap."""

    link: str = Field(description='A link "from>to" (`*` for any), or a group of links; a group goes down together.')
    up: Duration = Field(default=2.0, ge=0.05, le=60.0, description="How long it is open each time, at most 60s.")
    down: Duration = Field(default=1.0, ge=0.05, le=60.0, description="How long it is cut each time, at most 60s.")
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def targets(self, world: World) -> list[Target]:
        """The links as named. Raises Refused `target-matches-nothing`."""
        return select_links(world, self.link)

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: cut gateway-0>engine-0 for 1s after every 2s."""
        return f"cut {names(targets)} for {format_duration(self.down)} after every {format_duration(self.up)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Open each link, after the helper is ended: recipes are played backwards. Raises FaultError for a cut link."""
        proxies = world.toxiproxy.proxies()
        recipes: list[Recipe] = []
        for target in targets:
            if not proxies[target.name].enabled:
                raise FaultError(f"{self.name}: link {target.name} is cut, it cannot flap; nothing was touched")
            args = {"api": world.toxiproxy.url, "proxy": target.name, "enabled": True}
            recipes.append({"verb": "toxiproxy.set_enabled", "args": args})
            self.remember(target.name, _Seen())
        return [*recipes, {"verb": "host.end_tagged", "args": {"tag": world.tag, "resume": []}}]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Start the helper, which begins by cutting them."""
        for target in targets:
            self.before(target.name)
        spawn.start(
            "flap",
            world,
            seconds=None if self.duration is None else self.duration + GRACE_S,
            api=world.toxiproxy.url,
            links=json.dumps([target.name for target in targets]),
            down=self.down,
            up=self.up,
        )

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Dial each link: refused first and, where it is not down for long, taken again later."""
        texts, effects = [], []
        for target in targets:
            seen, listen = self.before(target.name), world.link(target.name).listen
            assert isinstance(seen, _Seen)
            taken = accepts(listen)
            if not taken and seen.refused_ns is None:
                seen.refused_ns = time.monotonic_ns()
            if seen.refused_ns is None or (self.down <= RETURNS_S and not taken):
                continue
            again = ", and took one again" if self.down <= RETURNS_S else ""
            texts.append(f"{listen} ({target.name}) refused connections{again}")
            effects.append(seen.refused_ns)
        return Witness(tuple(texts), max(effects)) if len(texts) == len(targets) else None
