"""bus.promote: the mirror of the orders in a region becomes the stream that takes them. There is no way back."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field

from chaoslib_ext.sops import bus, places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import Instance, World
from drills.errors import FaultError

WITHIN_S = 15.0
"""An election of the bus may come in between: up to 9 s."""

LOOK_S = 0.05
ALIVE_S = 1.0
"""An origin that lives answers in milliseconds; of one that is gone nothing is to be waited for."""


@action("bus.promote", summary="Turn a region's mirror of the orders into a stream that takes them.", needs={"sgp"})
class BusPromote(Action):
    """Promote the mirror of a region."""

    region: str = Field(description="Region whose mirror is promoted.")
    subject: str = Field(default="ord.tyo", description="Subject of the bus on which engines publish orders.")
    accept_loss: bool = Field(default=False, description="Promote also behind a living origin: the rest is lost.")

    def do(self, world: World) -> str:
        """Only behind a fence. Raises FaultError where another region might still acknowledge."""
        nodes = places.of(world, places.BUS, self.region)
        mirrors = [one for one in bus.streams(nodes).values() if one["config"].get("mirror")]
        if not mirrors:
            return self._promoted(nodes)
        self._fenced(world)
        name, config = str(mirrors[0]["config"]["name"]), mirrors[0]["config"]
        left = self._caught_up(world, nodes, name, str(config["mirror"]["name"]))
        wanted = {key: value for key, value in config.items() if key != "mirror"} | {"subjects": [self.subject]}
        self._update(nodes, name, wanted)
        last = int(bus.info(nodes, name)["state"]["last_seq"])
        return f"{name} takes orders since {last}, {left}; {self._grows(nodes, name, last)}"

    def _promoted(self, nodes: list[Instance]) -> str:
        for name, one in bus.streams(nodes).items():
            if self.subject in (one["config"].get("subjects") or ()):
                return f"{name} takes orders already; {self._grows(nodes, name, int(one['state']['last_seq']))}"
        raise FaultError(f"{self.region} has neither a mirror nor a stream on {self.subject}; nothing was touched")

    def _fenced(self, world: World) -> None:
        for region in places.regions(world):
            if region != self.region and (loose := places.unfenced(world, region)):
                raise FaultError(
                    f"{', '.join(loose)} of {region} may still acknowledge orders, and two regions would take them; "
                    "fence them first (engine.fence); nothing was touched"
                )

    def _caught_up(self, world: World, nodes: list[Instance], name: str, origin: str) -> str:
        """Where the origin still answers, nothing of it may be missing; where it does not, what is missing is lost."""
        deadline = time.monotonic() + WITHIN_S
        while (wanted := self._end_of(world, origin)) is not None:
            have = int(bus.info(nodes, name)["state"]["last_seq"])
            if have >= wanted:
                return f"with all {wanted} entries of {origin}"
            behind = wanted - have
            if self.accept_loss:
                return f"without the last {behind} entries of {origin}"
            if time.monotonic() > deadline:
                raise FaultError(
                    f"{name} is {behind} entries behind {origin} after {WITHIN_S:g} s; nothing was touched"
                )
            time.sleep(LOOK_S)
        return f"what {origin} had beyond it is lost here"

    def _end_of(self, world: World, origin: str) -> int | None:
        others = [one for one in world.instances if one.service == places.BUS and one.region != self.region]
        try:
            return int(bus.info(others, origin, ALIVE_S)["state"]["last_seq"])
        except FaultError:
            return None

    def _update(self, nodes: list[Instance], name: str, wanted: dict[str, Any]) -> None:
        answer = bus.ask(nodes, f"STREAM.UPDATE.{name}", wanted)
        if answer["config"].get("mirror"):
            raise FaultError(f"{name} is still a mirror of {answer['config']['mirror']['name']}")

    def _grows(self, nodes: list[Instance], name: str, last: int) -> str:
        """An engine brings its claim to lead into the log: it really takes entries."""
        deadline = time.monotonic() + WITHIN_S
        while (now := int(bus.info(nodes, name)["state"]["last_seq"])) <= last:
            if time.monotonic() > deadline:
                raise FaultError(f"{name} got no entry after {last} within {WITHIN_S:g} s: no engine leads there")
            time.sleep(LOOK_S)
        return f"an engine has written entry {now}"
