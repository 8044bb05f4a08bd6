"""A surge of forced orders: each wave pushes the price, and so sets off a larger and faster one."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from drills.registry import did_you_mean
from drills.units import Duration
from loadgen.trace import SCHEMA
from loadgen.transform.base import MAX_ROWS, Ints, Mask, Seed, State
from loadgen.transform.rows import Draft, draft, finished, fresh, joined
from loadgen.transform.surge import Surge


class LiquidationCascade(Surge):
    """`orders` market orders (immediate or cancel) of `side` in `waves` that accelerate, from accounts of their own.

    The fall that a wave makes sets off the next: each has `growth` times the orders of the one before, and follows it
    after a pause that is so many times shorter. Quantities are drawn from those of the symbol's takers in the trace.
    """

    shape: Literal["liquidation-cascade"]
    at: Duration
    for_: Duration = Field(alias="for", gt=0)
    symbol: str
    side: Literal["Buy", "Sell"]
    orders: Annotated[int, Field(ge=1, le=MAX_ROWS, strict=True)]
    growth: Annotated[float, Field(ge=1, le=10, strict=True)] = 1.5
    waves: Annotated[int, Field(ge=1, le=100, strict=True)] = 8
    accounts: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 20
    seed: Seed = 1

    def made(self, state: State) -> State:
        """Add the orders; raises DefinitionError for an unknown symbol or too many rows."""
        trace, window = state.trace, state.window(self.at, self.for_)
        known = [name for name in trace.codes("symbol")[1] if name in trace.grid]
        if self.symbol not in known:
            raise state.fail(f"no symbol {self.symbol} in the trace", did_you_mean(self.symbol, known))
        if trace.rows + self.orders > MAX_ROWS:
            raise state.fail(f"more than {MAX_ROWS:,} operations", "lower orders")
        rows, chance = draft(trace), np.random.default_rng(self.seed)
        lots = chance.choice(self._takers(state), self.orders)
        added = self._orders(rows, self._times(window, chance), lots, chance, (trace.sessions, fresh(trace)))
        note = self.note(added=self.orders)
        return State(finished(trace, joined(rows, added), trace.duration_ns, note), state.label)

    def _takers(self, state: State) -> Ints:
        """Lots of the orders of the symbol that were meant to trade at once; else of all its orders; else one lot."""
        trace = state.trace
        codes, names = trace.codes("symbol")
        lots = trace.ints("qty_lots")
        own: Mask = (codes == names.index(self.symbol)) & (lots > 0)
        tifs, words = trace.codes("tif")
        takers: Mask = own & (tifs == (words.index("IOC") if "IOC" in words else -2))
        if not own.any():
            return np.ones(1, dtype=np.int64)
        chosen = takers if takers.any() else own
        return lots[chosen]

    def _times(self, window: tuple[int, int], chance: np.random.Generator) -> Ints:
        """Times of all orders, in order."""
        start, end = window
        strength = self.growth ** np.arange(self.waves, dtype=np.float64)
        ends = np.rint(np.cumsum(strength) / strength.sum() * self.orders).astype(np.int64)
        # a wave and the pause behind it; most of a wave comes at once, at its start
        starts = np.concatenate([[0.0], np.cumsum(1 / strength) / (1 / strength).sum()])
        wave = np.searchsorted(ends, np.arange(self.orders), side="right")
        within = chance.beta(1, 4, self.orders)
        share = starts[wave] + within * (starts[wave + 1] - starts[wave])
        times: Ints = start + np.sort(share * (end - start)).astype(np.int64)
        return np.minimum(times, end - 1)

    def _orders(
        self, rows: Draft, times: Ints, lots: Ints, chance: np.random.Generator, base: tuple[int, str]
    ) -> Draft:
        sessions, mark = base
        who = chance.integers(0, self.accounts, self.orders)
        names = pa.array([f"liquidated{mark}.{number}" for number in range(self.accounts)])
        numbers = pa.array(np.arange(self.orders)).cast(pa.string())
        columns = {
            "account": names.take(pa.array(who)),
            "price_ticks": None,
            "qty_lots": pa.array(lots),
            "client_id": pa.array([f"l{mark}.{number}" for number in numbers.to_pylist()], pa.string()),
        }
        said = {"op": "place", "symbol": self.symbol, "side": self.side, "type": "Market", "tif": "IOC"}
        columns |= {name: pa.array([word] * self.orders, pa.string()) for name, word in said.items()}
        made = {}
        for name in rows.table.column_names:
            column = columns.get(name)
            type_ = SCHEMA.field(name).type
            made[name] = pa.nulls(self.orders, type_) if column is None else column.cast(type_)
        none = np.full(self.orders, -1, dtype=np.int64)
        table = pa.table(made, schema=rows.table.schema)
        return Draft(table, times, who + sessions, none, none)
