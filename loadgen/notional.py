"""What an order is worth, exactly: price × quantity, in numbers of any size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa

from drills.errors import DefinitionError
from drills.evidence import NOTIONAL
from loadgen.trace import Ints, Trace

_UNITS = 10**8  # NOTIONAL counts in 1e-8
_SAFE = 2.0**62
_LARGEST = 10**38


def notionals(trace: Trace) -> pa.Array:
    """Price × quantity of each row of the trace as decimal128(38, 8), rounded half to even.

    Null where the row has no price or quantity. Raises DefinitionError where a value is beyond 38 digits.
    """
    price, qty = trace.ints("price_ticks"), trace.ints("qty_lots")
    codes, symbols = trace.codes("symbol")
    worth = [_worth(trace, symbol) for symbol in symbols]
    valued = (price >= 0) & (qty >= 0)
    over, under = (np.array([_int64(getattr(one, part)) for one in worth] or [1])[codes] for part in _PARTS)
    # a float is wrong by less than 1e-15 of itself: below 2**62 the product is surely within 64 bits
    small = (price.astype(np.float64) * qty * over < _SAFE) & (over > 0) & (under > 0)
    product = np.where(valued & small, price * qty * over, 0)
    words = np.zeros((len(product), 2), dtype=np.int64)  # low and high half of each value
    words[:, 0] = product if (under == 1).all() else _divided(product, np.maximum(under, 1))
    for row in np.flatnonzero(valued & ~small).tolist():
        value = round(int(price[row]) * int(qty[row]) * worth[codes[row]])
        if value >= _LARGEST:
            raise DefinitionError(trace.name, f"row {row}: a price times its quantity is beyond 38 digits")
        words[row] = np.array([value & (2**64 - 1), value >> 64], dtype=np.uint64).view(np.int64)
    bits = pa.py_buffer(np.packbits(valued, bitorder="little"))
    return pa.Array.from_buffers(NOTIONAL, len(words), [bits, pa.py_buffer(words)])


_PARTS = ("numerator", "denominator")


def _worth(trace: Trace, symbol: str) -> Fraction:
    """One tick times one lot in 1e-8; 0 for what has no grid (a request's row has neither price nor quantity)."""
    grid = trace.grid.get(symbol)
    return Fraction(grid.tick) * Fraction(grid.lot) * _UNITS if grid else Fraction(0)


def _int64(number: int) -> int:
    """The number, or 0 where it is beyond 64 bits."""
    return number if number < _SAFE else 0


def _divided(product: Ints, by: Ints) -> Ints:
    """product / by, rounded half to even."""
    whole, rest = np.divmod(product, by)
    twice = rest - (by - rest)  # rest against half of `by`, without overflow
    up: Ints = whole + ((twice > 0) | ((twice == 0) & (whole % 2 == 1)))
    return up
