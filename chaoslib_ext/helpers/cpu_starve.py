"""Keeps processes stopped for a share of every period: `--share 0.8 --period 0.04 --target PID:START …`.

The generator runs on the same machine, and is not starved with them: nothing here uses the CPU. The period is short
against every timeout, so that the target is slow and never silent.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from chaoslib_ext.helpers.base import Helper

LONGEST = 2.0
"""No stop lasts longer than this many of its turns' shares, however much is owed."""


def main() -> int:
    """Work until it is no longer wanted; nobody stays stopped."""
    helper = Helper(sys.argv[1:])
    share, period = float(helper.options["share"]), float(helper.options["period"])
    known = list(helper.targets)
    if not helper.may_begin():
        return 0
    began, stopped = time.monotonic(), 0.0
    try:
        while helper.wanted():
            turn = time.monotonic()
            # on a busy machine every sleep is too long: what was too much or too little is made up for in the next turn
            debt = share * (turn - began) - stopped
            _all(helper.targets, signal.SIGSTOP)
            helper.rest(period * share * min(max(1 + debt / (period * share), 0.1), LONGEST))
            _all(helper.targets, signal.SIGCONT)
            stopped += time.monotonic() - turn
            helper.rest(period * (1 - share))
    finally:
        _all(known, signal.SIGCONT)
    return 0


def _all(targets: list[tuple[int, float]], number: signal.Signals) -> None:
    for pid, _ in targets:  # `wanted` has just seen that they are the same processes
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    sys.exit(main())
