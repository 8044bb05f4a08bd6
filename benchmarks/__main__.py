"""Run every benchmark, or those named: `python -m benchmarks [NAME ...]`; figures land in benchmarks/out/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def names() -> list[str]:
    """Every benchmark: the files bench_*.py of this folder, without prefix and ending."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main(wanted: list[str]) -> int:
    """Run the wanted benchmarks one after the other; the exit code is that of the worst."""
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    return max(
        (
            subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], check=False).returncode
            for name in wanted or names()
        ),
        default=0,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
