"""What an entry of the order log looks like: a batch of commands, or a control entry of leadership.

    {"t":"batch","epoch":3,"id":"engine-0.4f1c.17","c":[[command row],…]}
    {"t":"lead","epoch":3,"id":"engine-0.4f1c.1","instance":"engine-0"}
    {"t":"beat","epoch":3,"id":"engine-0.4f1c.2"}
    {"t":"resign","epoch":3,"id":"engine-0.4f1c.3","instance":"engine-0"}

The id is unique over all lives of all engines: a leader whose publish was not answered finds out by it whether
the entry at that place is its own.
"""

import os
from dataclasses import dataclass
from typing import Any, Literal

import orjson

type Kind = Literal["batch", "lead", "beat", "resign"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `rows` are the commands of a batch, `instance` leads from its `lead` entry on, up to its `resign`."""

    kind: Kind
    epoch: int
    id: str
    rows: list[list[Any]]
    instance: str | None = None

    def encode(self) -> bytes:
        """The payload of the JetStream message."""
        obj: dict[str, Any] = {"t": self.kind, "epoch": self.epoch, "id": self.id}
        if self.kind == "batch":
            obj["c"] = self.rows
        elif self.instance is not None:
            obj["instance"] = self.instance
        return orjson.dumps(obj)

    @classmethod
    def decode(cls, payload: bytes) -> "Entry":
        """The entry in `payload`; raises ValueError or KeyError when it is none of ours."""
        obj = orjson.loads(payload)
        return cls(obj["t"], obj["epoch"], obj["id"], obj.get("c", []), obj.get("instance"))


class EntryIds:
    """Hands out entry ids that no other life of any engine ever uses."""

    def __init__(self, instance: str) -> None:
        self._prefix = f"{instance}.{os.urandom(6).hex()}"
        self._count = 0

    def next(self) -> str:
        """The next id."""
        self._count += 1
        return f"{self._prefix}.{self._count}"
