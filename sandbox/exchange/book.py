"""One order book: price levels in order, orders of a level in order of arrival."""

from __future__ import annotations

from sortedcontainers import SortedDict

from sandbox.exchange.codes import Status

Fill = list[int | str]
"""One trade as `[price8, qty8, maker client id]`."""


class Order:
    """An order, resting or closed; the links are None unless it rests in a level."""

    __slots__ = (
        "book",
        "buy",
        "client_id",
        "code",
        "epoch",
        "filled8",
        "level",
        "next",
        "post_only",
        "prev",
        "price8",
        "qty8",
        "seq",
        "status",
    )

    def __init__(
        self, seq: int, epoch: int, client_id: str, book: Book, buy: bool, price8: int | None, qty8: int
    ) -> None:
        self.seq, self.epoch, self.client_id, self.book = seq, epoch, client_id, book
        self.buy, self.price8, self.qty8 = buy, price8, qty8
        self.filled8, self.code, self.post_only = 0, 0, False
        self.status: str = Status.NEW
        self.level: Level | None = None
        self.prev: Order | None = None
        self.next: Order | None = None

    @property
    def order_id(self) -> str:
        """The exchange's id: the sequence number that placed it."""
        return f"O{self.seq}"


class Level:
    """The resting orders of one price, first in first out, as a doubly linked list."""

    __slots__ = ("head", "key", "open8", "price8", "tail")

    def __init__(self, key: int, price8: int) -> None:
        self.key, self.price8, self.open8 = key, price8, 0
        self.head: Order | None = None
        self.tail: Order | None = None


class Side:
    """The bids or the asks; the best level is the one with the lowest key (minus the price for bids)."""

    __slots__ = ("best", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: SortedDict[int, Level] = SortedDict()
        self.best: Level | None = None

    def add(self, order: Order) -> None:
        """Let `order` (with a price and something left) rest behind all others of its price."""
        assert order.price8 is not None
        key = self.sign * order.price8
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = Level(key, order.price8)
            if self.best is None or key < self.best.key:
                self.best = level
        order.level, order.prev, order.next = level, level.tail, None
        if level.tail is None:
            level.head = order
        else:
            level.tail.next = order
        level.tail = order
        level.open8 += order.qty8 - order.filled8

    def remove(self, order: Order) -> None:
        """Take a resting order out; an emptied level goes with it."""
        level, before, after = order.level, order.prev, order.next
        assert level is not None
        if before is None:
            level.head = after
        else:
            before.next = after
        if after is None:
            level.tail = before
        else:
            after.prev = before
        level.open8 -= order.qty8 - order.filled8
        order.level = order.prev = order.next = None
        if level.head is None:
            del self.levels[level.key]
            if level is self.best:
                self.best = self.levels.peekitem(0)[1] if self.levels else None

    def depth(self, limit: int) -> list[tuple[int, int]]:
        """The best `limit` levels as (price8, open quantity8), best first."""
        return [(level.price8, level.open8) for level in self.levels.values()[:limit]]


class Book:
    """Bids and asks of one symbol; never crossed between two commands."""

    __slots__ = ("asks", "bids", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.bids = Side(-1)
        self.asks = Side(1)

    def crosses(self, buy: bool, price8: int) -> bool:
        """Whether an order at `price8` would trade at once."""
        best = self.asks.best if buy else self.bids.best
        return best is not None and best.key <= (price8 if buy else -price8)

    def rest(self, order: Order) -> None:
        """Add `order` to its side."""
        (self.bids if order.buy else self.asks).add(order)

    def withdraw(self, order: Order) -> None:
        """Take a resting `order` out of its side."""
        (self.bids if order.buy else self.asks).remove(order)

    def take(self, taker: Order, limit8: int | None) -> list[Fill]:
        """Trade `taker` against the other side up to `limit8` (None: any price), best price and oldest first.

        Fills both orders and closes makers that are done; the taker's status is the caller's to set.
        """
        side = self.asks if taker.buy else self.bids
        worst = None if limit8 is None else side.sign * limit8
        fills: list[Fill] = []
        left = taker.qty8 - taker.filled8
        while left > 0:
            level = side.best
            if level is None or (worst is not None and level.key > worst):
                break
            maker = level.head
            assert maker is not None
            traded = min(left, maker.qty8 - maker.filled8)
            left -= traded
            maker.filled8 += traded
            level.open8 -= traded
            fills.append([level.price8, traded, maker.client_id])
            if maker.filled8 == maker.qty8:
                maker.status = Status.FILLED
                side.remove(maker)
            else:
                maker.status = Status.PARTIAL
        taker.filled8 = taker.qty8 - left
        return fills
