"""engine.fence: no engine of a region acknowledges anything any more."""

from __future__ import annotations

from pydantic import Field

from chaoslib_ext.sops import places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import World
from drills.errors import FaultError


@action("engine.fence", summary="Fence every engine of a region off; one that is silent must be down or cut.")
class EngineFence(Action):
    """Fence a region."""

    region: str = Field(description="Region whose engines are fenced.")

    def do(self, world: World) -> str:
        """Ask each; what does not answer must be certain to do nothing. Raises FaultError, ComponentError."""
        seen = []
        for engine in places.of(world, places.ENGINE, self.region):
            answer = places.order(engine, "fence")
            if answer is not None:
                if not answer.get("fenced") or answer.get("role") == "primary":
                    said = f"{answer.get('role')}, fenced {answer.get('fenced')}"
                    raise FaultError(f"{engine.name} does not take the fence: it says {said}")
                seen.append(f"{engine.name} is fenced")
                continue
            why = places.powerless(engine, world)
            if why is None:
                phase = world.agent.instance(engine.name).phase
                raise FaultError(
                    f"{engine.name} ({phase}) does not answer, and is neither held down nor cut off from the bus: "
                    "it may go on and acknowledge; hold it down or cut its links first"
                )
            seen.append(why)
        return ", ".join(seen)
