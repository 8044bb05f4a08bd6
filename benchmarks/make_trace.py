"""Make the bundled trace again: play generated flow against a fresh sandbox, and record what that executed.

`python -m benchmarks.make_trace` takes a minute and a half and writes loadgen/traces/linear-perp-1m.parquet.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.play import play, sandbox
from loadgen import record, synth, trace

SECONDS, RATE, SEED = 60.0, 1200.0, 1
TARGET = Path(trace.__file__).parent / "traces" / "linear-perp-1m.parquet"


def main() -> int:
    """Exit code 0 when the file was written; 1 when the sandbox did not execute everything exactly once."""
    with tempfile.TemporaryDirectory() as name, sandbox() as described:
        folder, venue = Path(name), described["venue"]
        generated = synth.generate(SECONDS, RATE, SEED)
        trace.write(generated, folder / "generated.parquet")
        played = play(venue, folder, str(folder / "generated.parquet"), generated.duration_ns / 1e9)
        recorded, left_out = record.record(venue, TARGET.stem, None, own=f"{played.run.run_id}-")
    count, expected = recorded.table.num_rows, generated.table.num_rows
    print(f"recorded {count} of {expected} operations; send lag p99 {played.last['run_lag_p99_ms']} ms")
    if count != expected or left_out:
        print(f"left out: {dict(left_out)}; nothing written", file=sys.stderr)
        return 1
    trace.write(recorded, TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB, {recorded.rate:.1f} op/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
