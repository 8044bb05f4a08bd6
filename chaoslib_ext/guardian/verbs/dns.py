"""Undo at a resolver: what was made to go wrong with it, and records that were switched."""

from __future__ import annotations

import json
from typing import Any

from chaoslib_ext import httpjson
from chaoslib_ext.guardian.verbs.base import TIMEOUT_S, Args, NotUndone, Verb, curl, get, order


class EndFault:
    """`dns.end_fault` {admin, key}: this fault ends, those of others stay."""

    def undo(self, args: Args) -> None:
        """Delete it; one that is not there is fine."""
        order("DELETE", _fault(args), missing_ok=True)

    def observe(self, args: Args) -> str:
        """The resolver's list does not show it."""
        if args["key"] in get(f"{args['admin']}/faults"):
            raise NotUndone(f"the resolver at {args['admin']} still has fault {args['key']}")
        return f"the resolver at {args['admin']} has no fault {args['key']}"

    def by_hand(self, args: Args) -> str:
        """Ask the resolver with curl."""
        return curl("DELETE", _fault(args))


class RestoreRecord:
    """`dns.restore_record` {admin, name, record}: a name leads where it led before; record null: there was none."""

    def undo(self, args: Args) -> None:
        """Write the former record, or take it away."""
        if args["record"] is None:
            order("DELETE", _record(args), missing_ok=True)
        else:
            order("PUT", _record(args), args["record"])

    def observe(self, args: Args) -> str:
        """The resolver shows the former record."""
        status, seen = httpjson.call("GET", _record(args), timeout_s=TIMEOUT_S)
        if args["record"] is None and status == 404:
            return f"there is no record {args['name']}"
        if status != 200 or _plain(seen) != _plain(args["record"]):
            raise NotUndone(f"record {args['name']} is {seen}, was {args['record']}")
        return f"record {args['name']} leads to {', '.join(seen['values'])} again"

    def by_hand(self, args: Args) -> str:
        """Ask the resolver with curl."""
        if args["record"] is None:
            return curl("DELETE", _record(args))
        return curl("PUT", _record(args), json.dumps(args["record"]))


VERBS: dict[str, Verb] = {"dns.end_fault": EndFault(), "dns.restore_record": RestoreRecord()}


def _fault(args: Args) -> str:
    return f"{args['admin']}/faults/{httpjson.segment(args['key'])}"


def _record(args: Args) -> str:
    return f"{args['admin']}/records/{httpjson.segment(args['name'])}"


def _plain(record: Any) -> dict[str, Any] | None:  # noqa: ANN401 - JSON of the resolver or of a recipe
    return {**record, "weights": record.get("weights") or []} if isinstance(record, dict) else None
