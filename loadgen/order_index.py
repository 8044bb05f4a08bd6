"""Every order of a recording by its client id, however many there are: a table on disk, read and written in batches."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CACHE_KIB = 32_768


@dataclass(slots=True)
class Order:
    """An order as the rows after it need to know it."""

    row: int  # of its place
    latest: int  # row of the last operation on it
    session: int
    symbol: str


class OrderIndex:
    """Client id to Order; raises OSError or sqlite3.Error where the disk gives out."""

    def __init__(self, folder: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".orders-") as file:
            self._db = sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=MEMORY"):
                self._db.execute(f"PRAGMA {setting}")
            self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            self._db.execute(
                "CREATE TABLE orders (id BLOB PRIMARY KEY, row INT, latest INT, session INT, symbol BLOB) WITHOUT ROWID"
            )
            self._db.execute("CREATE TEMP TABLE wanted (id BLOB)")
        # the file has lost its name by now, and vanishes with this process

    def known(self, client_ids: Iterable[str]) -> dict[str, Order]:
        """Those of the orders that are in the table."""
        self._db.execute("DELETE FROM wanted")
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO wanted VALUES (?)", ((_key(name),) for name in client_ids))
        self._db.execute("COMMIT")
        found = self._db.execute("SELECT orders.* FROM wanted JOIN orders ON orders.id = wanted.id")
        return {_text(name): Order(row, latest, session, _text(symbol)) for name, row, latest, session, symbol in found}

    def keep(self, orders: dict[str, Order]) -> None:
        """Put orders into the table, in place of what it holds under their ids."""
        values = sorted((_key(name), o.row, o.latest, o.session, _key(o.symbol)) for name, o in orders.items())
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)", values)
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Let go of the table."""
        self._db.close()


def _key(text: str) -> bytes:
    # recordings hold text that is not Unicode
    return text.encode("utf-8", "surrogatepass")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
