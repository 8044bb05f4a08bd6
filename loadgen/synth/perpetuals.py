"""A seeded generator of perpetual-futures order flow, to have something to play before anything was recorded.

Sixteen accounts trade eight symbols in clusters, as real flow comes, in two layers: quotes far from the market, which
are amended and cancelled but never reached, and orders at the touch, which are left for the takers. So what a cancel
finds does not hang on who came first, neither in a repetition nor after an outage has shuffled the flow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

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
"""Quotes that rest at a time, all books together."""
FEW = 40
"""Quotes that rest before the last rows cancel them all: they thin out while every kind of operation goes on."""
CLUSTER = 4.0
WIND_DOWN_NS = 2_000_000_000
NEAR, ACROSS, FAR = (2, 10), 12, (30, 60)
"""Ticks from the mid price: orders at the touch, limit of the takers, quotes."""
STOCK = 40
"""Takers of average size that the touch of each side can serve."""


@dataclass(slots=True, eq=False)
class _Quote:
    client_id: str
    session: int
    symbol: str
    side: str


class _Market:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.quotes: list[_Quote] = []
        self.rows: list[Row] = []
        self._stock = {(name, side): 0 for name in SYMBOLS for side in ("Buy", "Sell")}  # lots at the touch
        self._names, self._weights = list(SYMBOLS), [entry[3] for entry in SYMBOLS.values()]

    def act(self, t_ns: int, target: int) -> None:
        """One operation of one account, chosen so that about `target` quotes rest."""
        draw, cancels = self.random.random(), 0.40 * min(1.5, len(self.quotes) / target)
        if self.quotes and draw < cancels:
            self.cancel(t_ns, self.random.randrange(len(self.quotes)))
        elif self.quotes and draw < cancels + 0.12:
            self._amend(t_ns)
        elif draw > 0.94:
            self._take(t_ns)
        else:
            self._rest(t_ns)

    def cancel(self, t_ns: int, index: int) -> None:
        """Cancel one quote."""
        quote = self.quotes[index]
        self.quotes[index] = self.quotes[-1]
        self.quotes.pop()
        self._row(t_ns, quote.session, "cancel", quote.symbol, parent=quote.client_id)

    def _amend(self, t_ns: int) -> None:
        quote = self.random.choice(self.quotes)
        price8 = self._price(quote.symbol, quote.side, self.random.randint(*FAR))
        qty8 = self._lots() * SYMBOLS[quote.symbol][2]
        self._row(t_ns, quote.session, "amend", quote.symbol, parent=quote.client_id, price8=price8, qty8=qty8)

    def _rest(self, t_ns: int) -> None:
        symbol, side = self._pick()
        post_only, lots = self.random.random() < 0.2, self._lots()
        if self._stock[symbol, side] < STOCK * 7:
            self._stock[symbol, side] += lots
            self._place(t_ns, symbol, side, self.random.randint(*NEAR), lots, "PostOnly" if post_only else "GTC")
        elif post_only and self.random.random() < 0.01:
            self._place(t_ns, symbol, side, -ACROSS, lots, "PostOnly")  # would trade: refused
        else:
            name = self._place(t_ns, symbol, side, self.random.randint(*FAR), lots, "PostOnly" if post_only else "GTC")
            self.quotes.append(_Quote(name, self.rows[-1].session, symbol, side))

    def _take(self, t_ns: int) -> None:
        symbol, side = self._pick()
        touch, lots = (symbol, "Sell" if side == "Buy" else "Buy"), self._lots()
        market = self.random.random() < 0.35 and lots * 4 < self._stock[touch]
        self._stock[touch] = max(0, self._stock[touch] - lots)
        self._place(t_ns, symbol, side, None if market else -ACROSS, lots, "IOC")

    def _place(self, t_ns: int, symbol: str, side: str, away: int | None, lots: int, tif: str) -> str:
        name, session = f"c{len(self.rows)}", self.random.randrange(ACCOUNTS)
        row = Row(t_ns, session, f"acct-{session}", "place", symbol, side, "Limit", tif, client_id=name)
        row.qty8 = lots * SYMBOLS[symbol][2]
        if away is None:
            row.type = "Market"
        else:
            row.price8 = self._price(symbol, side, away)
        self.rows.append(row)
        return name

    def _price(self, symbol: str, side: str, away: int) -> int:
        mid, tick, _, _ = SYMBOLS[symbol]
        return mid - away * tick if side == "Buy" else mid + away * tick

    def _pick(self) -> tuple[str, str]:
        return self.random.choices(self._names, self._weights)[0], self.random.choice(("Buy", "Sell"))

    def _lots(self) -> int:
        return 1 + int(self.random.expovariate(0.15))

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
    while market.quotes:
        market.cancel(last, 0)
        last += 100_000
    return build("linear-perp-1m", market.rows, {"from": "synth", "seed": seed, "rate": rate, "seconds": seconds})
