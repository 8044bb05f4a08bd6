"""A model of the flow of a trace: when operations come, from whom, which, at what price, and what comes of an order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drills.errors import DefinitionError
from loadgen.synth.arrivals import Floats, fitted
from loadgen.synth.model import LEVELS, MOST_SESSIONS, POOLED, Amends, Flow, FlowModel, Market, Next, Orders, Skew
from loadgen.trace import Ints, Trace
from loadgen.transform.base import Mask
from loadgen.transform.book import Books

OWN = 500
"""Orders that a symbol needs to have distributions of its own."""
PARTS = 10
"""Parts of the orders, by distance from the mid, that have lives of their own."""
_LARGEST_WEIGHT = 10.0
KINDS = ("place", "cancel", "amend")
PLACE, CANCEL, AMEND = range(3)


def fit(trace: Trace) -> FlowModel:
    """The model of a trace; other operations than those of orders are left out of it.

    Raises DefinitionError for a trace without orders.
    """
    seen = _Seen.of(trace)
    places = seen.op == PLACE
    if not places.any():
        raise DefinitionError(trace.name, "has no orders, so there is no flow to fit", hint="take another trace")
    ours = seen.op >= 0
    return FlowModel(
        like=trace.name,
        seconds=trace.duration_ns / 1e9,
        rate=int(ours.sum()) / (trace.duration_ns / 1e9),
        sessions=min(trace.sessions, MOST_SESSIONS),
        skew=_skew(np.bincount(seen.session[places], minlength=trace.sessions)),
        arrivals=tuple(fitted(seen.t_ns[ours], trace.duration_ns)),
        symbols=_markets(trace, seen),
        flows=_flows(seen),
        amends=_amends(seen),
        after=_after(seen, trace.duration_ns),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """Columns of the recording, one entry a row; `away` and `mid` are NaN where the row or its time has none."""

    t_ns: Ints
    op: Ints  # PLACE, CANCEL, AMEND, or -1 for any other
    session: Ints
    symbol: Ints
    symbols: list[str]
    kind: Ints  # of a place: code of its type and time in force
    kinds: list[tuple[str, str]]
    buys: Mask
    lots: Ints
    priced: Mask
    away: Floats  # ticks from the mid to the far side
    mid: Floats  # before the row
    next: Ints  # row of the next operation on that order, or -1

    @classmethod
    def of(cls, trace: Trace) -> _Seen:
        """The columns of a trace."""
        types, type_names = trace.codes("type")
        tifs, tif_names = trace.codes("tif")
        sides, side_names = trace.codes("side")
        parent, prior = trace.ints("parent_row"), trace.ints("prior_row")
        buys = np.array([*(name == "Buy" for name in side_names), False])[sides]
        buys = np.where(parent < 0, buys, buys[parent])
        prices = trace.ints("price_ticks")
        mid = _mids(trace)
        later = np.full(trace.rows, -1, dtype=np.int64)
        later[prior[prior >= 0]] = np.flatnonzero(prior >= 0)
        ops, op_names = trace.codes("op")
        symbol, symbols = trace.codes("symbol")
        return cls(
            t_ns=trace.ints("t_ns"),
            op=np.array([*(KINDS.index(name) if name in KINDS else -1 for name in op_names), -1])[ops],
            session=trace.ints("session"),
            symbol=symbol.astype(np.int64),
            symbols=symbols,
            kind=types.astype(np.int64) * len(tif_names) + tifs,
            kinds=[(type_, tif) for type_ in type_names for tif in tif_names],
            buys=buys,
            lots=trace.ints("qty_lots"),
            priced=prices > 0,
            away=np.where(prices > 0, np.where(buys, mid - prices, prices - mid), np.nan),
            mid=mid,
            next=later,
        )


def _mids(trace: Trace) -> Floats:
    """The mid of the symbol of each row, in ticks, before that row; the symbol's median where its book lacks a side."""
    books, found = Books(trace, trace.rows), np.full(trace.rows, np.nan)
    for row, symbol in enumerate(books.symbol):
        middle = books.middle2(symbol) if symbol >= 0 else None
        if middle is not None:
            found[row] = middle / 2
        books.act(row)
    codes, names = trace.codes("symbol")
    prices = trace.ints("price_ticks")
    for symbol in range(len(names)):
        own = codes == symbol
        known = found[own][~np.isnan(found[own])]
        limits = prices[own & (prices > 0)]
        if known.size or limits.size:
            found[own & np.isnan(found)] = np.median(known if known.size else limits)
    return found


def _skew(counts: Ints) -> Skew:
    """The skew whose shares, summed from the busiest session on, come nearest to the counts at every rank."""
    measured = np.cumsum(np.sort(counts)[::-1]) / counts.sum()
    ranks = np.arange(1, len(counts) + 1) / len(counts)
    best, least = Skew(exponent=0, offset=0), np.inf
    for offset in (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1):
        for exponent in np.linspace(0, 4, 41).tolist():
            weights = (ranks + offset) ** -exponent
            error = float(np.abs(np.cumsum(weights) / weights.sum() - measured).max())
            if error < least:
                best, least = Skew(exponent=round(exponent, 3), offset=offset), error
    return best


def _markets(trace: Trace, seen: _Seen) -> dict[str, Market]:
    places = seen.op == PLACE
    counts = np.bincount(seen.symbol[places], minlength=len(seen.symbols))
    made = {}
    for symbol in np.argsort(-counts, kind="stable").tolist():
        if counts[symbol]:
            grid, mids = trace.grid[seen.symbols[symbol]], seen.mid[seen.symbol == symbol]
            # a symbol of market orders alone has no price at all; none is needed then
            mid = 1.0 if np.isnan(mids).all() else max(1.0, float(np.nanmedian(mids)))
            weight = counts[symbol] / counts.sum()
            made[seen.symbols[symbol]] = Market(weight=weight, tick=grid.tick, lot=grid.lot, mid=mid)
    return made


def _flows(seen: _Seen) -> dict[str, Flow]:
    places = seen.op == PLACE
    flows = {POOLED: _flow(seen, places)}
    for symbol, name in enumerate(seen.symbols):
        own = places & (seen.symbol == symbol)
        if int(own.sum()) >= OWN:
            flows[name] = _flow(seen, own)
    return flows


def _flow(seen: _Seen, rows: Mask) -> Flow:
    count = int(rows.sum())
    orders = []
    for code in np.unique(seen.kind[rows]).tolist():
        own = rows & (seen.kind == code)
        type_, tif = seen.kinds[code]
        away = quantiles(seen.away[own]) if type_ == "Limit" else None
        share = int(own.sum()) / count
        orders.append(
            Orders.model_validate(
                {"type": type_, "tif": tif, "share": share, "away": away, "lots": quantiles(seen.lots[own])}
            )
        )
    return Flow(buys=int(seen.buys[rows].sum()) / count, orders=tuple(orders))


def _amends(seen: _Seen) -> Amends:
    rows = seen.op == AMEND
    if not rows.any():
        return Amends(priced=0, sized=0)
    priced, sized = rows & seen.priced, rows & (seen.lots > 0)
    return Amends(
        priced=float(priced.sum() / rows.sum()),
        sized=float(sized.sum() / rows.sum()),
        away=quantiles(seen.away[priced]) if priced.any() else None,
        lots=quantiles(seen.lots[sized]) if sized.any() else None,
    )


def _after(seen: _Seen, duration_ns: int) -> dict[str, tuple[Next, ...]]:
    made: dict[str, tuple[Next, ...]] = {}
    places = seen.op == PLACE
    for code in np.unique(seen.kind[places]).tolist():
        own = np.flatnonzero(places & (seen.kind == code))
        level = _levels(seen.symbol[own], seen.away[own])
        parts = PARTS if seen.kinds[code][0] == "Limit" and len(own) >= OWN else 1
        part = (level * parts).astype(np.int64)
        made[" ".join(seen.kinds[code])] = tuple(_next(seen, own[part == n], duration_ns) for n in range(parts))
    if (seen.op == AMEND).any():
        made["amend"] = (_next(seen, np.flatnonzero(seen.op == AMEND), duration_ns),)
    return made


def _levels(symbol: Ints, away: Floats) -> Floats:
    """Where each order stands among those of its symbol by distance: from 0, nearest, up to 1."""
    order = np.lexsort((away, symbol))
    counts = np.bincount(symbol)
    starts = np.cumsum(counts) - counts
    level = np.empty(len(symbol))
    level[order] = (np.arange(len(symbol)) - starts[symbol[order]]) / counts[symbol[order]]
    return level


def _next(seen: _Seen, starts: Ints, duration_ns: int) -> Next:
    """What comes after the rows `starts`, and when.

    The recording ends before what comes late, so each delay counts for those of its length that the end cut off: by one
    over the share of rows that had so much time left (inverse probability of censoring; Robins, Rotnitzky 1992).
    """
    later = seen.next[starts]
    known = later >= 0
    delays = seen.t_ns[later] - seen.t_ns[starts]
    left = np.sort(duration_ns - seen.t_ns[starts])
    enough = 1 - np.searchsorted(left, delays, side="right") / len(starts)
    weights = 1 / np.maximum(enough, 1 / _LARGEST_WEIGHT)
    shares, tables = {}, {}
    for name, code in (("amend", AMEND), ("cancel", CANCEL)):
        own = known & (seen.op[later] == code)
        shares[name] = float(weights[own].sum() / len(starts))
        tables[name] = quantiles(np.log10(np.maximum(delays[own], 1)), weights[own]) if own.any() else None
    over = max(1.0, sum(shares.values()))
    return Next(
        amend=shares["amend"] / over,
        cancel=shares["cancel"] / over,
        amend_after=tables["amend"],
        cancel_after=tables["cancel"],
    )


def quantiles(values: Floats | Ints, weights: Floats | None = None) -> tuple[float, ...]:
    """Values at LEVELS; NaN is left out."""
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    weight = (np.ones(len(values)) if weights is None else weights)[known][order]
    level = (np.cumsum(weight) - weight / 2) / weight.sum()
    found = np.interp(LEVELS, level, values[known][order].astype(np.float64))
    return tuple(round(value, 4) for value in found.tolist())
