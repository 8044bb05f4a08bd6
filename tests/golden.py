"""The run kept in tests/data/golden-run, and how it is made again: `python -m tests.golden`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from chaoslib_ext.judge import judge
from tests.runs import Spec, build

GOLDEN = Path(__file__).parent / "data" / "golden-run"
SPEC = Spec(rate=600.0, baseline_s=2.5, outage_s=0.6, after_s=2.5, sustain_s=1.5, lost=3, duplicated=1, seed=11)


def main() -> None:
    """Make the golden run and its verdict again; look at the difference before committing it."""
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder), SPEC)
        judge(path)
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(path, GOLDEN)


if __name__ == "__main__":
    main()
