"""A trace drawn from a model of flow: the same model and seed, the same trace."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from drills.errors import DefinitionError
from loadgen import trace as store
from loadgen.synth.arrivals import Floats, draw
from loadgen.synth.fit import AMEND, CANCEL, KINDS, PLACE
from loadgen.synth.model import LEVELS, POOLED, FlowModel, Next, Orders, Quantiles
from loadgen.trace import Ints, Symbol, Trace
from loadgen.transform.base import MAX_ROWS

_NEVER = (Next(amend=0, cancel=0),)


def make(
    model: FlowModel,
    name: str,
    *,
    seconds: float | None = None,
    rate: float | None = None,
    sessions: int | None = None,
    seed: int = 1,
) -> Trace:
    """A trace of round(seconds * rate) operations; span, rate and sessions are those of the model where not given.

    Every cancel and amend names an order that is open: placed before, and not cancelled. The market stands still: the
    distances from the mid are drawn, the mid of a symbol stays. Raises DefinitionError for no or too many operations.
    """
    seconds, rate, sessions = seconds or model.seconds, rate or model.rate, sessions or model.sessions
    count = round(seconds * rate)
    if not 1 <= count <= MAX_ROWS:
        raise DefinitionError(name, f"{count:,} operations, not 1 to {MAX_ROWS:,}", hint="change seconds or rate")
    chance = np.random.default_rng(seed)
    duration = round(seconds * 1e9)
    times = draw(model.arrivals, count, duration, chance)
    draft = _Draft(model, count, sessions, chance)
    op, order, parent = _lives(times, draft)
    provenance = {"from": "synth", "like": model.like, "seed": seed, "rate": rate, "seconds": seconds}
    provenance["sessions"] = sessions
    grid = {symbol: Symbol(market.tick, market.lot) for symbol, market in model.symbols.items()}
    return store.of(name, draft.table(times, op, order, parent), grid, provenance, duration)


@dataclass(frozen=True, slots=True)
class _Future:
    """What comes next after each of many orders or amends: a kind (0 for nothing), after so many ns."""

    kind: Ints
    after: Ints


class _Draft:
    """As many orders as there may be, each with all that it will be; and what each amend changes."""

    def __init__(self, model: FlowModel, count: int, sessions: int, chance: np.random.Generator) -> None:
        self._model, self._count, self._chance = model, count, chance
        self._symbols = list(model.symbols)
        weights = np.array([market.weight for market in model.symbols.values()])
        self._symbol = chance.choice(len(weights), count, p=weights / weights.sum())
        ranks = (np.arange(1, sessions + 1) / sessions + model.skew.offset) ** -model.skew.exponent
        # the busiest session is any, not the first
        self._session = chance.permutation(sessions)[chance.choice(sessions, count, p=ranks / ranks.sum())]
        self._buys = np.zeros(count, dtype=np.bool_)
        self._level = chance.random(count)  # where an order stands by its distance: 0 nearest
        self._kind = np.zeros(count, dtype=np.int64)
        self._kinds: list[tuple[str, str]] = []
        self._away, self._lots = np.full(count, np.nan), np.ones(count, dtype=np.int64)
        self._draw_orders()
        self.placed = self._lives()
        self.amended = self._future(model.after.get("amend", _NEVER)[:1], np.zeros(count, dtype=np.int64))

    def _lives(self) -> _Future:
        laws, which = list[Next](), np.zeros(self._count, dtype=np.int64)
        for code, kind in enumerate(self._kinds):
            own = self._kind == code
            parts = self._model.after.get(" ".join(kind), _NEVER)
            which[own] = len(laws) + (self._level[own] * len(parts)).astype(np.int64)
            laws += parts
        return self._future(laws, which)

    def _draw_orders(self) -> None:
        for symbol, name in enumerate(self._symbols):
            flow = self._model.flows.get(name, self._model.flows[POOLED])
            own = np.flatnonzero(self._symbol == symbol)
            self._buys[own] = self._chance.random(len(own)) < flow.buys
            ends = np.cumsum([orders.share for orders in flow.orders])
            which = np.searchsorted(ends / ends[-1], self._chance.random(len(own)), side="right")
            for number, orders in enumerate(flow.orders):
                rows = own[which == number]
                self._kind[rows] = self._code(orders)
                self._lots[rows] = np.maximum(1, _rounded(self._drawn(orders.lots, len(rows))))
                if orders.away is not None:
                    self._away[rows] = np.interp(self._level[rows], LEVELS, orders.away)

    def _code(self, orders: Orders) -> int:
        kind = (orders.type, orders.tif)
        if kind not in self._kinds:
            self._kinds.append(kind)
        return self._kinds.index(kind)

    def _future(self, nexts: Sequence[Next], which: Ints) -> _Future:
        kind, after = np.zeros(self._count, dtype=np.int64), np.zeros(self._count, dtype=np.int64)
        for number, law in enumerate(nexts):
            rows = np.flatnonzero(which == number)
            draws = self._chance.random(len(rows))
            amends, cancels = draws < law.amend, (draws >= law.amend) & (draws < law.amend + law.cancel)
            for own, code, table in ((amends, AMEND, law.amend_after), (cancels, CANCEL, law.cancel_after)):
                if table is not None:
                    chosen = rows[own]
                    kind[chosen] = code
                    after[chosen] = (10 ** self._drawn(table, len(chosen))).astype(np.int64)
        return _Future(kind, after)

    def _drawn(self, table: Quantiles, count: int) -> Floats:
        made: Floats = np.interp(self._chance.random(count), LEVELS, table)
        return made

    def table(self, times: Ints, op: Ints, order: Ints, parent: Ints) -> pa.Table:
        """The rows: row r belongs to the order number order[r], which row parent[r] places (-1: itself)."""
        places, amends = op == PLACE, op == AMEND
        away, lots = self._away[order], np.where(places, self._lots[order], -1)
        self._amend(np.flatnonzero(amends), away, lots)
        mid = np.array([self._model.symbols[name].mid for name in self._symbols])[self._symbol[order]]
        buys = self._buys[order]
        prices = np.maximum(1, _rounded(np.where(np.isnan(away), 1, np.where(buys, mid - away, mid + away))))
        types, tifs = (pa.array([kind[part] for kind in self._kinds]) for part in (0, 1))
        kinds = pa.array(self._kind[order], mask=~places)
        sessions = self._session[order]
        named = pa.array(np.where(places, np.arange(len(op)), parent)).cast(pa.string())
        ids = pc.binary_join_element_wise("c", named, "")
        nothing = pa.nulls(len(op))
        return pa.table(
            {
                "op_id": pa.array(np.arange(len(op))).cast(pa.string()),
                "t_ns": times,
                "session": sessions,
                "account": pc.binary_join_element_wise("acct-", pa.array(sessions).cast(pa.string()), ""),
                "op": pa.array(KINDS).take(pa.array(op)),
                "symbol": pa.array(self._symbols).take(pa.array(self._symbol[order])),
                "side": pa.array(["Sell", "Buy"]).take(pa.array(buys.astype(np.int64), mask=~places)),
                "type": types.take(kinds),
                "tif": tifs.take(kinds),
                "price_ticks": pa.array(prices, mask=np.isnan(away) | (op == CANCEL)),
                "qty_lots": pa.array(lots, mask=lots < 0),
                "client_id": pc.if_else(pa.array(places), ids, None),
                "parent": pc.if_else(pa.array(places), None, ids),
                **dict.fromkeys(("dep", "rec_status", "rec_latency_us", "payload"), nothing),
            }
        )

    def _amend(self, rows: Ints, away: Floats, lots: Ints) -> None:
        """Draw what the amends in `rows` change."""
        law = self._model.amends
        priced, sized = self._chance.random(len(rows)) < law.priced, self._chance.random(len(rows)) < law.sized
        away[rows] = np.nan
        if law.away is not None:
            priced |= ~sized  # an amend changes something
            away[rows[priced]] = self._drawn(law.away, int(priced.sum()))
        else:
            sized[:] = True
        if law.lots is not None:
            lots[rows[sized]] = np.maximum(1, _rounded(self._drawn(law.lots, int(sized.sum()))))


def _lives(times: Ints, draft: _Draft) -> tuple[Ints, Ints, Ints]:
    """Kind, number of the order, and row of its place (-1 for the place itself) of each operation.

    An operation is the one that is due the longest, or, where none is, the next order: so operations come at the times
    that were drawn for them all together, and an order lives a little longer than was drawn for it alone.
    """
    op, order, parent = np.zeros(len(times), np.int64), np.zeros(len(times), np.int64), np.full(len(times), -1)
    futures = [(f.kind.tolist(), f.after.tolist()) for f in (draft.placed, draft.amended)]
    due: list[tuple[int, int, int, int, int]] = []  # when, row that it follows, kind, number of the order, its row
    orders = amends = 0
    for row, now in enumerate(times.tolist()):
        if due and due[0][0] <= now:
            _, _, kind, number, place = heapq.heappop(due)
            op[row], order[row], parent[row] = kind, number, place
            if kind == CANCEL:
                continue
            (kinds, afters), index = futures[1], amends
            amends += 1
        else:
            number, place = orders, row
            order[row] = number
            (kinds, afters), index = futures[0], orders
            orders += 1
        if kinds[index]:
            heapq.heappush(due, (now + afters[index], row, kinds[index], number, place))
    return op, order, parent


def _rounded(values: Floats) -> Ints:
    return np.floor(values + 0.5).astype(np.int64)
