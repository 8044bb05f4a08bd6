"""network.latency: a link delivers late, as a congested or rerouted network does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import Field

from chaoslib_ext.faults import talk
from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault, names, select_links
from chaoslib_ext.faults.talk import Timing
from chaoslib_ext.links import Stream
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target
from drills.units import Duration

ENOUGH = 0.8
"""Share of the ordered delay that must be seen: timers and schedulers add, they do not take away."""

QUICK_S = 0.5
"""What a far end may take that is not delayed, before it counts as silent."""

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
    sample="slow-answers: {network.latency: {link: gateway-engine, ms: 50, jitter_ms: 5, toward: down}}",
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
            for stream in STREAMS[self.toward]:
                args = {"api": world.toxiproxy.url, "proxy": target.name, "toxic": _toxic(world, stream)}
                recipes.append({"verb": "toxiproxy.remove_toxic", "args": args})
        for target, timing in zip(targets, self._time(targets, world), strict=True):
            self.remember(target.name, timing)
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
        """Time every link again and compare with just before.

        A link whose far end is silent (a dead standby) can only be seen in Toxiproxy's list; at least one is timed.
        """
        timed = self._time(targets, world)
        texts, asked = [], []
        for target, after in zip(targets, timed, strict=True):
            before = self._timing(target)
            if before.first_s is None:
                if not _listed(target, world):
                    return None
                texts.append(f"{target.name}: its far end is silent, nothing to time; the toxic is in Toxiproxy's list")
                continue
            text = self._slower(before, after)
            if text is None:
                return None
            texts.append(f"{target.name}: {text}")
            asked.append(after.asked_ns)
        return Witness(tuple(texts), max(asked)) if asked else None

    def _slower(self, before: Timing, after: Timing) -> str | None:
        """The evidence on one link, or None: a round trip where there was an answer, else the greeting's way back."""
        ways = STREAMS[self.toward]
        was, now, what = before.answer_s, after.answer_s, "a round trip"
        if was is None:
            ways = tuple(way for way in ways if way == "downstream")
            was, now, what = before.first_s, after.first_s, "the greeting"
        least = ENOUGH * max(0, self.ms - self.jitter_ms) * len(ways) / 1000
        if was is None or now is None or not ways or now - was < least:
            return None
        return f"{what} takes {now * 1000:.1f} ms, before {was * 1000:.1f} ms"

    def _timing(self, target: Target) -> Timing:
        seen = self.before(target.name)
        assert isinstance(seen, Timing)
        return seen

    def _time(self, targets: Sequence[Target], world: World) -> list[Timing]:
        """All links at once, so that a slow one does not widen the window of the others."""
        budget = QUICK_S + 2 * (self.ms + self.jitter_ms) / 1000

        def one(target: Target) -> Timing:
            link, known = world.link(target.name), self.known(target.name)
            first_only = isinstance(known, Timing) and known.answer_s is None
            return talk.listen_to(link.listen, talk.question(link, world), budget, first_only=first_only)

        with ThreadPoolExecutor(max_workers=len(targets)) as pool:
            return list(pool.map(one, targets))


def _toxic(world: World, stream: Stream) -> str:
    return f"{world.tag}-{stream}"


def _listed(target: Target, world: World) -> bool:
    return any(name.startswith(world.tag) for name in world.toxiproxy.proxy(target.name).toxics())
