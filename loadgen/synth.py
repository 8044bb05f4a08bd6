"""A seeded generator of perpetual-futures order flow, to have something to play before anything was recorded.

Sixteen accounts trade eight symbols: resting, post-only, immediate-or-cancel and market orders, amends and cancels, in
clusters as real flow has them. A small price-time model of each book keeps the cancels and amends on orders that live,
and the last rows cancel what rests, so that a repetition starts from the books it started from before.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from loadgen.builder import Row, build
from loadgen.trace import Trace

SYMBOLS = {  # name: mid price, tick, lot (1e-8), weight
    "BTCUSDT": (6_050_000_000_000, 10_000_000, 100_000, 30),
    "ETHUSDT": (236_500_000_000, 5_000_000, 1_000_000, 22),
    "SOLUSDT": (14_250_000_000, 1_000_000, 10_000_000, 14),
    "XRPUSDT": (145_320_000, 10_000, 100_000_000, 10),
    "LTCUSDT": (31_314_000_000, 1_000_000, 10_000_000, 8),
    "LINKUSDT": (4_108_300_000, 100_000, 10_000_000, 6),
    "ADAUSDT": (138_730_000, 10_000, 100_000_000, 6),
    "DOTUSDT": (4_355_000_000, 500_000, 10_000_000, 4),
}
ACCOUNTS = 16
RESTING = 320
"""Orders that rest at a time, all books together."""
FEW = 40
"""Orders that rest before the last rows cancel them all: the book thins out while every kind of operation goes on."""
CLUSTER = 4.0
WIND_DOWN_NS = 2_000_000_000


@dataclass(slots=True, eq=False)
class _Order:
    client_id: str
    session: int
    symbol: str
    side: str
    price8: int
    rest8: int


@dataclass(slots=True)
class _Book:
    mid8: int
    bids: list[_Order] = field(default_factory=list)  # best first, then oldest first
    asks: list[_Order] = field(default_factory=list)


class _Market:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.books = {name: _Book(mid) for name, (mid, *_) in SYMBOLS.items()}
        self.live: list[_Order] = []
        self.rows: list[Row] = []
        self._names, self._weights = list(SYMBOLS), [entry[3] for entry in SYMBOLS.values()]

    def act(self, t_ns: int, target: int) -> None:
        """One operation of one account, chosen so that about `target` orders rest."""
        draw, cancels = self.random.random(), 0.40 * min(1.5, len(self.live) / target)
        if self.live and draw < cancels:
            self._cancel(t_ns)
        elif self.live and draw < cancels + 0.12:
            self._amend(t_ns)
        elif draw > 0.92:
            self._take(t_ns)
        else:
            self._rest(t_ns)

    def _cancel(self, t_ns: int) -> None:
        order = self.random.choice(self.live)
        self._remove(order)
        self._row(t_ns, order.session, "cancel", order.symbol, parent=order.client_id)

    def _amend(self, t_ns: int) -> None:
        order = self.random.choice(self.live)
        _, tick, lot, _ = SYMBOLS[order.symbol]
        away = -tick if order.side == "Buy" else tick  # away from the market: an amend never trades
        self._remove(order)
        order.price8 += away * self.random.randint(1, 3)
        order.rest8 = self._quantity(lot)
        self._add(order)
        self._row(
            t_ns, order.session, "amend", order.symbol, parent=order.client_id, price8=order.price8, qty8=order.rest8
        )

    def _rest(self, t_ns: int) -> None:
        symbol, side = self._pick()
        _, tick, lot, _ = SYMBOLS[symbol]
        book = self.books[symbol]
        book.mid8 += tick * self.random.choice((-1, 0, 0, 0, 1))
        distance = tick * (2 + int(self.random.expovariate(0.25)))
        price = book.mid8 - distance if side == "Buy" else book.mid8 + distance
        post_only = self.random.random() < 0.2
        if post_only:
            other = book.asks if side == "Buy" else book.bids
            if other and (price >= other[0].price8 if side == "Buy" else price <= other[0].price8):
                price = other[0].price8 + (-2 * tick if side == "Buy" else 2 * tick)
        self._place(t_ns, symbol, side, price, self._quantity(lot), "PostOnly" if post_only else "GTC")

    def _take(self, t_ns: int) -> None:
        symbol, side = self._pick()
        _, tick, lot, _ = SYMBOLS[symbol]
        market = self.random.random() < 0.35
        across = 12 * tick if side == "Buy" else -12 * tick
        price = None if market else self.books[symbol].mid8 + across
        self._place(t_ns, symbol, side, price, self._quantity(lot), "IOC")

    def _place(self, t_ns: int, symbol: str, side: str, price8: int | None, qty8: int, tif: str) -> None:
        order = _Order(f"c{len(self.rows)}", self.random.randrange(ACCOUNTS), symbol, side, price8 or 0, qty8)
        fields = {"side": side, "type": "Limit" if price8 else "Market", "tif": tif, "price8": price8, "qty8": qty8}
        self._row(t_ns, order.session, "place", symbol, client_id=order.client_id, **fields)
        self._match(order, price8)
        if order.rest8 and tif != "IOC":
            self._add(order)

    def _match(self, order: _Order, limit8: int | None) -> None:
        book = self.books[order.symbol]
        other = book.asks if order.side == "Buy" else book.bids
        while order.rest8 and other:
            best = other[0]
            if limit8 is not None and (best.price8 > limit8 if order.side == "Buy" else best.price8 < limit8):
                return
            fill = min(order.rest8, best.rest8)
            order.rest8 -= fill
            best.rest8 -= fill
            if not best.rest8:
                self._remove(best)

    def _add(self, order: _Order) -> None:
        book = self.books[order.symbol]
        side = book.bids if order.side == "Buy" else book.asks
        sign = -1 if order.side == "Buy" else 1
        place = next((n for n, other in enumerate(side) if sign * other.price8 > sign * order.price8), len(side))
        side.insert(place, order)
        self.live.append(order)

    def _remove(self, order: _Order) -> None:
        book = self.books[order.symbol]
        (book.bids if order.side == "Buy" else book.asks).remove(order)
        self.live.remove(order)

    def _pick(self) -> tuple[str, str]:
        return self.random.choices(self._names, self._weights)[0], self.random.choice(("Buy", "Sell"))

    def _quantity(self, lot: int) -> int:
        return lot * (1 + int(self.random.expovariate(0.15)))

    def _row(self, t_ns: int, session: int, op: str, symbol: str, **fields: str | int | None) -> None:
        self.rows.append(Row(t_ns, session, f"acct-{session}", op, symbol, **fields))  # type: ignore[arg-type]


def generate(seconds: float = 60.0, rate: float = 1200.0, seed: int = 1) -> Trace:
    """A trace of about `rate` operations a second for `seconds`; the same arguments give the same trace."""
    market, end = _Market(seed), int(seconds * 1e9)
    t_ns, burst_end = 0.0, 0.0
    while t_ns < end:
        # clusters of about four operations within milliseconds, and quiet between them
        t_ns += market.random.expovariate(rate / CLUSTER / 1e9)
        at = max(t_ns, burst_end)
        for _ in range(1 + int(market.random.expovariate(1 / (CLUSTER - 0.55)))):
            market.act(int(at), RESTING if at < end - WIND_DOWN_NS else FEW)
            at += market.random.expovariate(1 / 400_000)
        burst_end = at
    last = market.rows[-1].t_ns + 1_000_000
    for order in list(market.live):
        market.rows.append(
            Row(last, order.session, f"acct-{order.session}", "cancel", order.symbol, parent=order.client_id)
        )
        last += 100_000
    return build("linear-perp-1m", market.rows, {"from": "synth", "seed": seed, "rate": rate, "seconds": seconds})
