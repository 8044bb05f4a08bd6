"""Where a benchmark's figures go: benchmarks/out/<name>.json and a table on stdout."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

OUT = Path(__file__).parent / "out"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `peer` names what stood beside it in the same run and `ratio` is ours over the peer's."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None


def write(name: str, figures: list[Figure]) -> Path:
    """Write benchmarks/out/<name>.json (a list of figures) and print one line each."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_bytes(orjson.dumps([asdict(figure) for figure in figures], option=orjson.OPT_INDENT_2))
    for figure in figures:
        beside = f"   {figure.ratio:.2f} x {figure.peer}" if figure.peer and figure.ratio is not None else ""
        print(f"{name:12} {figure.name:40} {figure.value:>14,.3f} {figure.unit}{beside}")
    return path
