"""A bounded memory of what was seen last."""

from __future__ import annotations

from collections.abc import Hashable


class Recent[K: Hashable, V]:
    """A mapping that forgets: what was neither put nor asked for during the last `size` new keys may be gone.

    It holds at most twice `size` keys.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def get(self, key: K) -> V | None:
        """The value, and remember it longer; None where it is not known, or not any more."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found
