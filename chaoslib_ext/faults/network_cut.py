"""network.cut: a link drops its connections and takes no new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault, names, select_links
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"


@fault(
    "network.cut",
    summary="Cut a link: its connections break and new ones are refused.",
    proof="connections through it are refused, and none that was open before is left",
    undo="open the link again, where it was open before",
    plane="network",
    sample="bus-off: {network.cut: {link: engine-bus}}",
)
class NetworkCut(Fault):
    """Cut links."""

    link: str = Field(description='A link "from>to" (`*` for any), or a group of links.')

    def targets(self, world: World) -> list[Target]:
        """The links as named. Raises Refused `target-matches-nothing`."""
        return select_links(world, self.link)

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: cut gateway-0>engine-0."""
        return f"cut {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Open those that are open now; one that somebody else has cut stays cut. Raises FaultError if all are."""
        recipes: list[Recipe] = []
        proxies = world.toxiproxy.proxies()
        for target in targets:
            self.remember(target.name, proxies[target.name].enabled)
            if proxies[target.name].enabled:
                args = {"api": world.toxiproxy.url, "proxy": target.name, "enabled": True}
                recipes.append({"verb": "toxiproxy.set_enabled", "args": args})
        if not recipes:
            raise FaultError(f"{self.name}: {names(targets)} was cut before; nothing was touched")
        return recipes

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Cut those that were open."""
        for target in [target for target in targets if self.before(target.name)]:
            world.toxiproxy.proxy(target.name).disable()

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Dial each link, and look for connections that outlived the cut."""
        texts = []
        for target in targets:
            listen = world.link(target.name).listen
            if accepts(listen):
                return None
            texts.append(f"{listen} ({target.name}) refuses connections")
        open_ports = _established()
        if open_ports is None:
            return Witness((*texts, "open connections not looked at: the system does not show them to this user"))
        if any(int(world.link(target.name).listen.rpartition(":")[2]) in open_ports for target in targets):
            return None
        return Witness((*texts, "no connection through it is left"))


def _established() -> set[int] | None:
    """Local ports of this host with an established TCP connection; None where the system does not tell."""
    if not TABLES[0].exists():
        return None
    try:
        return {port for path in TABLES if path.exists() for port in _ports(path.read_text())}
    except OSError:
        return None


def _ports(table: str) -> list[int]:
    # psutil shows the same in 60 ms, because it also finds the process of each: too slow for a fault's first instant
    rows = [line.split() for line in table.splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == ESTABLISHED]
