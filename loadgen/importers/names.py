"""Whose order a client id names: ids are unique within one client, and a trace needs them unique altogether."""

from __future__ import annotations

from typing import NamedTuple

from loadgen.importers.recent import Recent

_ORDERS = 100_000
"""Orders that are surely remembered."""


class Who(NamedTuple):
    """The client of an operation; `sure`: it said so itself, so an order of somebody else is not its own."""

    session: int
    account: str
    sure: bool = True


class Names:
    """Gives each order a name that no other client's order has, and finds it again."""

    def __init__(self) -> None:
        self._owners = Recent[str, Who](_ORDERS)
        self._renamed = Recent[tuple[int, str], str](_ORDERS)

    def placed(self, own: str, who: Who) -> str:
        """The name of an order that a client calls `own`: that, unless another client's order has it."""
        owner = self._owners.get(own)
        name = own
        if owner is not None and owner.session != who.session:
            name = f"{who.session}:{own}"
            self._renamed.put((who.session, own), name)
        self._owners.put(name, who)
        return name

    def named(self, own: str, who: Who) -> tuple[str, Who]:
        """The name of the order that a client calls `own`, and the client: that of the order where nobody is sure."""
        name = self._renamed.get((who.session, own)) or own
        owner = self._owners.get(name)
        return name, who if owner is None or who.sure else owner
