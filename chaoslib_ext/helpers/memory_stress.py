"""Takes memory and holds it: `--mb 512`. Were the machine to run out of it, the kernel takes this process first."""

from __future__ import annotations

import mmap
import sys

from chaoslib_ext.helpers.base import Helper

MB = 1024 * 1024
STEP_MB = 16
FLOOR_MB = 256
"""Less is never left available, whatever others take in the meantime."""


def main() -> int:
    """Take step by step what was asked for, touch every page, hold it."""
    helper = Helper(sys.argv[1:])
    wanted_mb = int(helper.options["mb"])
    if not helper.may_begin():
        return 0
    _first_to_go()
    held: list[mmap.mmap] = []
    while helper.wanted():
        left = wanted_mb - STEP_MB * len(held)
        if left <= 0 or available_mb() - min(left, STEP_MB) < FLOOR_MB:
            helper.rest(0.2)
            continue
        block = mmap.mmap(-1, min(left, STEP_MB) * MB)
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        held.append(block)
    return 0


def available_mb() -> int:
    """What the kernel could still give without swapping; Linux only, elsewhere 0."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) // 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 0


def _first_to_go() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
