"""Undo that looks at the exchange first: a region that was replaced comes back fenced, or its engines stay cut off."""

from __future__ import annotations

from collections.abc import Mapping

from chaoslib_ext import httpjson
from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb, curl, order
from chaoslib_ext.guardian.verbs.toxiproxy import SetEnabled

LOOK_S = 0.5
"""A healthy engine answers /status within a millisecond."""


class ReopenFenced:
    """`exchange.reopen_fenced` {api, proxies, engines, others}: links of engines to the bus, opened behind a fence.

    `engines` and `others` are the HTTP addresses by name of the engines of the place and of those elsewhere. Where one
    of the others leads by now, healing alone would make two primaries: then every engine of the place is fenced before
    a link of it is opened.
    """

    def undo(self, args: Args) -> None:
        """Fence where somebody else leads, then open. Raises NotUndone where an engine cannot be fenced yet."""
        if leads := _leads(args["others"]):
            loose = [name for name, http in args["engines"].items() if not _fence(http)]
            if loose:
                raise NotUndone(f"{leads} leads and {', '.join(loose)} cannot be fenced: links to the bus stay cut")
        for link in _links(args):
            SetEnabled().undo(link)

    def observe(self, args: Args) -> str:
        """The links are open; where somebody else leads, every engine of the place says that it is fenced."""
        leads = _leads(args["others"])
        statuses = {name: _status(http) or {} for name, http in args["engines"].items()} if leads else {}
        loose = [name for name, status in statuses.items() if not status.get("fenced")]
        if loose:
            raise NotUndone(f"{leads} leads and {', '.join(loose)} is not fenced")
        for link in _links(args):
            SetEnabled().observe(link)
        behind = f" behind a fence, {leads} leads" if leads else ""
        return f"{len(args['proxies'])} links to the bus are open{behind}"

    def by_hand(self, args: Args) -> str:
        """Fences first where they are needed now, with curl."""
        fences = [curl("POST", f"{http}/admin/fence") for http in args["engines"].values()]
        opens = [SetEnabled().by_hand(link) for link in _links(args)]
        return " && ".join([*(fences if _leads(args["others"]) else []), *opens]) or "true"


VERBS: dict[str, Verb] = {"exchange.reopen_fenced": ReopenFenced()}


def _links(args: Args) -> list[Args]:
    return [{"api": args["api"], "proxy": proxy, "enabled": True} for proxy in args["proxies"]]


def _leads(engines: Mapping[str, str]) -> str | None:
    return next((name for name, http in engines.items() if (_status(http) or {}).get("role") == "primary"), None)


def _status(http: str) -> Mapping[str, object] | None:
    try:
        status, answer = httpjson.call("GET", f"{http}/status", timeout_s=LOOK_S)
    except httpjson.Unreachable:
        return None
    return answer if status == 200 and isinstance(answer, dict) else None


def _fence(http: str) -> bool:
    try:
        order("POST", f"{http}/admin/fence", {})
    except (httpjson.Unreachable, NotUndone):
        return False
    return True
