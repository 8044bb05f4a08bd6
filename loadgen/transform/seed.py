"""What must be there before a trace starts: the orders that rested, and the money of the accounts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from drills.registry import did_you_mean
from loadgen.trace import Trace
from loadgen.transform.base import Amount, State, Transform, noted, with_facts
from loadgen.transform.slice import PACE, cut_out

EVERY = "*"
"""Stands for every account that is not named."""


class Seed(Transform):
    """With `orders`, all orders that rested at the start of the slice before it are placed first, `pace` a second.

    `balances` (account or *, asset, amount) are written to the provenance of the trace, for a venue that can fund
    accounts before the replay.
    """

    key: ClassVar[str] = "seed"
    orders: bool = Field(default=False, strict=True)
    pace: Annotated[float, Field(ge=0.1, le=100_000, strict=True)] = PACE
    balances: dict[str, dict[str, Amount]] = Field(default={})

    @model_validator(mode="after")
    def _something(self) -> Seed:
        if not self.orders and not any(self.balances.values()):
            raise PydanticCustomError("nothing", "seeds nothing; write orders: true or balances")
        return self

    def made(self, state: State) -> State:
        """Place what rested and note the balances; raises DefinitionError where no slice is right before this step."""
        self._check_accounts(state)
        trace, facts = state.trace, dict[str, object]()
        if self.orders:
            if state.cut is None:
                raise state.fail("orders: there is no slice right before it", "put a slice step before it")
            trace = cut_out(state.cut, "all", self.pace, self)  # the slice once more, now with its orders
            facts["transformed"] = noted(state.trace, trace.provenance["transformed"][-1])
        else:
            facts["transformed"] = noted(trace, self.note())
        if self.balances:
            facts["balances"] = {**trace.provenance.get("balances", {}), **self.said()["balances"]}
        return State(with_facts(trace, **facts), state.label)

    def _check_accounts(self, state: State) -> None:
        known = set(state.trace.codes("account")[1])
        for account in self.balances:
            if account != EVERY and account not in known:
                hint = did_you_mean(account, {*known, EVERY})
                raise state.fail(f"balances: no account {account} in the trace", hint)


def balances(trace: Trace) -> Mapping[str, Mapping[str, Decimal]]:
    """What each account of a trace must own before it is replayed: account, asset, amount; empty where unsaid."""
    said = trace.provenance.get("balances", {})
    exact = {who: {asset: Decimal(amount) for asset, amount in has.items()} for who, has in said.items()}
    if EVERY not in exact:
        return exact
    return {account: exact.get(account, exact[EVERY]) for account in sorted(trace.codes("account")[1])}
