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


def main() -> int:
    """Work until it is no longer wanted; nobody stays stopped."""
    helper = Helper(sys.argv[1:])
    share, period = float(helper.options["share"]), float(helper.options["period"])
    known = list(helper.targets)
    if not helper.may_begin():
        return 0
    try:
        turn = time.monotonic()
        while helper.wanted():
            _all(helper.targets, signal.SIGSTOP)
            helper.rest(turn + period * share - time.monotonic())
            _all(helper.targets, signal.SIGCONT)
            helper.rest(turn + period - time.monotonic())
            # a turn that was missed is not made up for: it would stop the target for longer than a period
            turn = max(turn + period, time.monotonic() - period / 2)
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
