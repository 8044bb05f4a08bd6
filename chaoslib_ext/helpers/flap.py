"""Cuts links and opens them again, over and over: `--api URL --links JSON --down 1 --up 2`. It ends with them open."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from chaoslib_ext import httpjson
from chaoslib_ext.helpers.base import Helper


def main() -> int:
    """Work until it is no longer wanted, or Toxiproxy is gone."""
    helper = Helper(sys.argv[1:])
    api, links = helper.options["api"], json.loads(helper.options["links"])
    down, up = float(helper.options["down"]), float(helper.options["up"])
    if not helper.may_begin():
        return 0
    try:
        while helper.wanted():
            _switch(api, links, enabled=False)
            helper.rest(down)
            _switch(api, links, enabled=True)
            helper.rest(up)
    except httpjson.Unreachable:
        return 0  # with Toxiproxy went all that it had cut
    finally:
        _open(api, links)
    return 0


def _switch(api: str, links: Sequence[str], *, enabled: bool) -> None:
    for link in links:
        httpjson.call("POST", f"{api}/proxies/{httpjson.segment(link)}", {"enabled": enabled})


def _open(api: str, links: Sequence[str]) -> None:
    try:
        _switch(api, links, enabled=True)
    except httpjson.Unreachable:
        return


if __name__ == "__main__":
    sys.exit(main())
