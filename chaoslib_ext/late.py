"""The words by which a node agent tells an order that comes after its undo: when it was sent, and for which fault."""

from __future__ import annotations

import time

ORDER, OVER = "Muster-Order", "Muster-Over"


def order(tag: str) -> dict[str, str]:
    """Headers of an order that disturbs, sent now for the fault of this tag."""
    return {ORDER: _now(tag)}


def over(tag: str | None) -> dict[str, str]:
    """Headers of its undo: what was sent before is not to be carried out any more. None for a recipe without a tag."""
    return {OVER: _now(tag)} if tag else {}


def _now(tag: str) -> str:
    return f"{tag} {time.monotonic_ns()}"
