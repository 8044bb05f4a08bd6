"""CPU seconds to judge a run of 300,000 operations from its files; median of 5."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.results import Figure, write
from chaoslib_ext.judge import judge
from tests.runs import Spec, build


def main() -> None:
    """Measure and write benchmarks/out/judge.json."""
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder), Spec(rate=12_000.0, after_s=12.0))
        taken = []
        for _ in range(5):
            begin = time.process_time()
            operations = judge(path).load.scheduled
            taken.append(time.process_time() - begin)
    write("judge", [Figure("operations", operations or 0, "op"), Figure("judge-cpu-s", statistics.median(taken), "s")])


if __name__ == "__main__":
    main()
