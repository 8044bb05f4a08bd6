"""network.latency: a link delivers late, as a congested or rerouted network does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from chaoslib_ext.faults import talk
from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault, names, select_links
from chaoslib_ext.links import Stream
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target
from drills.units import Duration

ENOUGH = 0.8
"""Share of the ordered delay that must be seen: timers and schedulers add, they do not take away."""

STREAMS: dict[str, tuple[Stream, ...]] = {
    "both": ("upstream", "downstream"),
    "up": ("upstream",),
    "down": ("downstream",),
}


@fault(
    "network.latency",
    summary="Delay everything on a link, each way by itself.",
    proof="a round trip through the link takes longer by the delay than just before",
    undo="remove the toxics of this fault; those of others stay",
    plane="network",
)
class NetworkLatency(Fault):
    """Delay links."""

    link: str = Field(description='A link "from>to", or a group of links.')
    ms: int = Field(gt=0, le=60_000, description="Milliseconds added to each chosen direction.")
    jitter_ms: int = Field(default=0, ge=0, le=60_000, description="Spread around ms, in milliseconds.")
    toward: Literal["both", "up", "down"] = Field(default="both", description="up: from the side that dials.")
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def targets(self, world: World) -> list[Target]:
        """The links as named. Raises Refused `target-matches-nothing`."""
        return select_links(world, self.link)

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: 200 ms ± 20 each way on gateway-0>engine-0."""
        way = {"both": "each way", "up": "upstream", "down": "downstream"}[self.toward]
        jitter = f" ± {self.jitter_ms}" if self.jitter_ms else ""
        return f"{self.ms} ms{jitter} {way} on {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Remove the toxics by the names they will get, which carry run and fault; time each link as it is now."""
        recipes: list[Recipe] = []
        proxies = world.toxiproxy.proxies()
        for target in targets:
            if not proxies[target.name].enabled:
                raise FaultError(f"{self.name}: link {target.name} is cut, a delay would not show; nothing was touched")
            self.remember(target.name, self._round_trip_s(target, world))
            for stream in STREAMS[self.toward]:
                args = {"api": world.toxiproxy.url, "proxy": target.name, "toxic": _toxic(world, stream)}
                recipes.append({"verb": "toxiproxy.remove_toxic", "args": args})
        return recipes

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Add one toxic a direction."""
        for target in targets:
            self.before(target.name)
        proxies = world.toxiproxy.proxies()
        attributes = {"latency": self.ms, "jitter": self.jitter_ms}
        for target in targets:
            for stream in STREAMS[self.toward]:
                proxies[target.name].add_toxic(
                    name=_toxic(world, stream), type="latency", stream=stream, attributes=attributes
                )

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Time a round trip through every link whose far end answers, and compare with just before.

        A link with a silent far end (a dead standby) can only be seen in Toxiproxy's list; at least one must be timed.
        """
        texts, timed = [], 0
        for target in targets:
            before = self.before(target.name)
            if before is None:
                if not _listed(target, world):
                    return None
                texts.append(f"{target.name}: its far end answers nothing to time; the toxic is in Toxiproxy's list")
                continue
            after = self._round_trip_s(target, world)
            if after is None or (after - before) * 1000 < self._least_ms():
                return None
            timed += 1
            texts.append(f"{target.name}: a round trip takes {after * 1000:.1f} ms, before {before * 1000:.1f} ms")
        return Witness(tuple(texts)) if timed else None

    def _least_ms(self) -> float:
        return ENOUGH * max(0, self.ms - self.jitter_ms) * len(STREAMS[self.toward])

    def _round_trip_s(self, target: Target, world: World) -> float | None:
        link = world.link(target.name)
        budget = 1.0 + 2 * (self.ms + self.jitter_ms) / 1000
        return talk.round_trip_s(link.listen, world.instance(link.target).service, timeout_s=budget)


def _toxic(world: World, stream: Stream) -> str:
    return f"{world.tag}-{stream}"


def _listed(target: Target, world: World) -> bool:
    return any(name.startswith(world.tag) for name in world.toxiproxy.proxy(target.name).toxics())
