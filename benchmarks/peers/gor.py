"""Plays offsets as GoReplay's file input does, and says by how much it runs over."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.stub.programs import program
from benchmarks.stub.venue import Stub, cores, pinned


@dataclass(frozen=True, slots=True)
class Paced:
    """A recording's length, and how long it took to play, both in ns."""

    span_ns: int
    took_ns: int

    @property
    def drift(self) -> float:
        """How much longer it took than it should have, as a share of what it should have taken."""
        return self.took_ns / self.span_ns - 1


def pace(target: Stub, offsets_ns: npt.NDArray[np.int64]) -> Paced:
    """Send one request for each offset (int64, ns, increasing); raises CalledProcessError."""
    with pinned(cores().generator):
        done = subprocess.run(
            [str(program("pacer")), f"127.0.0.1:{target.ports['rest']}"],
            input=offsets_ns.astype("<i8").tobytes(),
            stdout=subprocess.PIPE,
            check=True,
        )
    told = orjson.loads(done.stdout)
    return Paced(told["span_ns"], told["took_ns"])
