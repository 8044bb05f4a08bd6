"""What the faults on links share: toxics of Toxiproxy, signed by run and fault, and how their effect is witnessed.

A toxic is one file: its parameters, its type and attributes, and what it makes of a talk through the link.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

from pydantic import Field

from chaoslib_ext.faults import talk
from chaoslib_ext.faults.base import Fault, Recipe, Witness, names, select_links
from chaoslib_ext.faults.talk import Timing
from chaoslib_ext.links import Stream
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target
from drills.units import Duration

QUICK_S = 0.5
"""What a far end may take that is not disturbed, before it counts as silent."""

ENOUGH = 0.8
"""Share of the ordered delay that must be seen: timers and schedulers add, they do not take away."""

Toward = Literal["both", "up", "down"]

STREAMS: dict[Toward, tuple[Stream, ...]] = {
    "both": ("upstream", "downstream"),
    "up": ("upstream",),
    "down": ("downstream",),
}

WAYS: dict[Toward, str] = {"both": "each way", "up": "upstream", "down": "downstream"}


class ToxicFault(Fault):
    """Base of faults that are one toxic a direction on each link."""

    toxic: ClassVar[str]
    """Toxiproxy's name of its type."""

    link: str = Field(description='A link "from>to" (`*` for any), or a group of links.')
    toward: Toward = Field(default="both", description="up: from the side that dials.")
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    @property
    def ways(self) -> tuple[Stream, ...]:
        """The directions that get the toxic."""
        return STREAMS[self.toward]

    def attributes(self) -> dict[str, int]:
        """The toxic's attributes, in Toxiproxy's words."""
        raise NotImplementedError

    def watch(self, targets: Sequence[Target], world: World) -> list[Any]:
        """What is to be remembered of each link as it is now. Raises FaultError where nothing would show."""
        raise NotImplementedError

    def targets(self, world: World) -> list[Target]:
        """The links as named. Raises Refused `target-matches-nothing`."""
        return select_links(world, self.link)

    def where(self, targets: Sequence[Target]) -> str:
        """Such as: each way on gateway-0>engine-0."""
        return f"{WAYS[self.toward]} on {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Remove the toxics by the names they will get, which carry run and fault; look at each link as it is now."""
        recipes: list[Recipe] = []
        proxies = world.toxiproxy.proxies()
        for target in targets:
            if not proxies[target.name].enabled:
                raise FaultError(f"{self.name}: link {target.name} is cut, it would not show; nothing was touched")
            for stream in self.ways:
                args = {"api": world.toxiproxy.url, "proxy": target.name, "toxic": _signed(world, stream)}
                recipes.append({"verb": "toxiproxy.remove_toxic", "args": args})
        for target, seen in zip(targets, self.watch(targets, world), strict=True):
            self.remember(target.name, seen)
        return recipes

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Add one toxic a direction."""
        for target in targets:
            self.before(target.name)
        proxies = world.toxiproxy.proxies()
        for target in targets:
            for stream in self.ways:
                proxies[target.name].add_toxic(
                    name=_signed(world, stream), type=self.toxic, stream=stream, attributes=self.attributes()
                )


class TalkingToxic(ToxicFault):
    """Base of those that are witnessed by talking through the link: `budget_s` bounds a talk, `shown` judges it."""

    silent_text: ClassVar[str] = "its far end is silent"

    def budget_s(self, before: Timing | None) -> float:
        """Seconds within which a talk shows what it has to show; `before` is None in the talk before the fault."""
        return QUICK_S

    def shown(self, before: Timing, after: Timing) -> str | None:
        """The evidence on one link, or None."""
        raise NotImplementedError

    def seeable(self, before: Timing) -> bool:
        """Whether the link told enough before the fault for its effect to show."""
        return before.first_s is not None

    def effect_ns(self, after: Timing) -> int:
        """When the effect was there: what was asked then was hit already."""
        return after.asked_ns

    def watch(self, targets: Sequence[Target], world: World) -> list[Timing]:
        """Talk through every link as it is now."""
        return self.talk(targets, world)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Talk through every link again and compare with just before.

        A link whose far end was silent can only be seen in Toxiproxy's list; at least one is seen by its traffic.
        """
        texts, effects = [], []
        for target, after in zip(targets, self.talk(targets, world), strict=True):
            before = self._seen(target)
            if not self.seeable(before):
                if not listed(target, world):
                    return None
                texts.append(f"{target.name}: {self.silent_text}, nothing to time; the toxic is in Toxiproxy's list")
                continue
            text = self.shown(before, after)
            if text is None:
                return None
            texts.append(f"{target.name}: {text}")
            effects.append(self.effect_ns(after))
        return Witness(tuple(texts), max(effects)) if effects else None

    def talk(self, targets: Sequence[Target], world: World) -> list[Timing]:
        """All links at once, so that a slow one does not widen the window of the others."""

        def one(target: Target) -> Timing:
            return self.talk_through(target, world)

        with ThreadPoolExecutor(max_workers=len(targets)) as pool:
            return list(pool.map(one, targets))

    def talk_through(self, target: Target, world: World) -> Timing:
        """One talk: a question, and what came of it."""
        link, known = world.link(target.name), self.known(target.name)
        before = known if isinstance(known, Timing) else None
        first_only = before is not None and before.answer_s is None
        asked = talk.question(link, world, self.times())
        return talk.listen_to(link.listen, asked, self.budget_s(before), first_only=first_only)

    def times(self) -> int:
        """How often to ask at once: where the size of what passes matters."""
        return 1

    def _seen(self, target: Target) -> Timing:
        seen = self.before(target.name)
        assert isinstance(seen, Timing)
        return seen


class SlowToxic(TalkingToxic):
    """Base of those that delay what passes by `extra_s`."""

    least_s: ClassVar[float] = 0.0
    """A shorter delay cannot be told from chance."""

    def extra_s(self, size: int) -> float:
        """The least that `size` bytes at once take longer, one way."""
        raise NotImplementedError

    def budget_s(self, before: Timing | None) -> float:
        """Twice what it should take: a busy machine adds to it."""
        return QUICK_S + (2 * self.expected_s(before) if before else 0.0)

    def expected_s(self, before: Timing) -> float:
        """How much longer a talk takes at least; where only a greeting came, what was asked delays nothing."""
        sizes = {"upstream": before.sent, "downstream": before.received}
        if before.answer_s is None:
            sizes = {"downstream": before.greeting}
        return sum(self.extra_s(size) for way, size in sizes.items() if way in self.ways)

    def seeable(self, before: Timing) -> bool:
        """A link that said something before, and enough of it."""
        return before.first_s is not None and self.expected_s(before) >= self.least_s

    def shown(self, before: Timing, after: Timing) -> str | None:
        """Longer than before by most of what was ordered."""
        what = "a round trip" if before.answer_s is not None else "the greeting"
        was, now = (before.answer_s, after.answer_s) if before.answer_s is not None else (before.first_s, after.first_s)
        expected = self.expected_s(before)
        if was is None or now is None or not expected or now - was < ENOUGH * expected:
            return None
        return f"{what} takes {now * 1000:.1f} ms, before {was * 1000:.1f} ms"


class SizedToxic(SlowToxic):
    """Base of those whose delay grows with the size of what passes."""

    least_s = 0.02
    silent_text = "its far end says too little"

    def watch(self, targets: Sequence[Target], world: World) -> list[Timing]:
        """Refuse where the link would carry the talk as quickly as before."""
        seen = super().watch(targets, world)
        spoken = [one for one in seen if one.first_s is not None]
        if spoken and not any(self.seeable(one) for one in seen):
            most = max(one.received for one in spoken)
            raise FaultError(
                f"{self.name}: {names(targets)} answers a witness with {most} bytes, on which it would not show; "
                "choose a stronger disturbance or another link; nothing was touched"
            )
        return seen


def listed(target: Target, world: World) -> bool:
    """Whether Toxiproxy lists a toxic of this fault on the link."""
    return any(name.startswith(world.tag) for name in world.toxiproxy.proxy(target.name).toxics())


def _signed(world: World, stream: Stream) -> str:
    return f"{world.tag}-{stream}"
