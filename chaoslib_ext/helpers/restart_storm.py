"""Kills instances again and again: `--agent URL --instances a,b --every 2 --times 5`; their agent starts them again."""

from __future__ import annotations

import sys
import time

from chaoslib_ext import httpjson, late
from chaoslib_ext.helpers.base import Helper


def main() -> int:
    """Kill until it is no longer wanted, or often enough; a kill that is refused is one less."""
    helper = Helper(sys.argv[1:])
    every, times = float(helper.options["every"]), int(helper.options.get("times", "0"))
    urls = [f"{helper.options['agent']}/instances/{name}/kill" for name in helper.options["instances"].split(",")]
    if not helper.may_begin():
        return 0
    done, turn = 0, time.monotonic()
    while helper.wanted() and (not times or done < times):
        for url in urls:
            _kill(url, helper.tag)
        done, turn = done + 1, turn + every
        helper.rest(turn - time.monotonic())
    return 0


def _kill(url: str, tag: str) -> None:
    try:
        httpjson.call("POST", url, {"signal": "KILL", "hold": False}, timeout_s=5.0, headers=late.order(tag))
    except httpjson.Unreachable:
        return  # the next one may be taken; the undo does not hang on it


if __name__ == "__main__":
    sys.exit(main())
