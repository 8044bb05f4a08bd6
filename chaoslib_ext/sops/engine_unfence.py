"""engine.unfence: the engines of a region may lead again."""

from __future__ import annotations

from pydantic import Field

from chaoslib_ext.sops import places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import World
from drills.errors import FaultError


@action("engine.unfence", summary="Let every engine of a region lead again.")
class EngineUnfence(Action):
    """Lift the fence of a region."""

    region: str = Field(description="Region whose engines may lead again.")

    def do(self, world: World) -> str:
        """Ask each. Raises FaultError where one does not answer."""
        engines = places.of(world, places.ENGINE, self.region)
        silent = [one.name for one in engines if places.order(one, "unfence") is None]
        if silent:
            raise FaultError(f"{', '.join(silent)} does not answer: whether it is fenced is not known")
        return f"{', '.join(one.name for one in engines)} may lead"
