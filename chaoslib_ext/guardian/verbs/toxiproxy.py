"""Undo through Toxiproxy: toxics, and links that were cut."""

from __future__ import annotations

from chaoslib_ext import httpjson
from chaoslib_ext.guardian.verbs.base import TIMEOUT_S, Args, NotUndone, Verb, accepts, curl, order


class RemoveToxic:
    """`toxiproxy.remove_toxic` {api, proxy, toxic}: this toxic goes, those of others stay."""

    def undo(self, args: Args) -> None:
        """Delete it; one that is not there is fine."""
        order("DELETE", _proxy(args, "/toxics/" + httpjson.segment(args["toxic"])), missing_ok=True)

    def observe(self, args: Args) -> str:
        """The proxy's list does not show it."""
        status, seen = httpjson.call("GET", _proxy(args, "/toxics"), timeout_s=TIMEOUT_S)
        if status == 404:
            return f"link {args['proxy']} is gone, and its toxics with it"
        if status != 200 or any(one["name"] == args["toxic"] for one in seen):
            raise NotUndone(f"link {args['proxy']} still has toxic {args['toxic']}")
        return f"link {args['proxy']} has no toxic {args['toxic']}"

    def by_hand(self, args: Args) -> str:
        """Ask Toxiproxy with curl."""
        return curl("DELETE", _proxy(args, "/toxics/" + httpjson.segment(args["toxic"])))


class SetEnabled:
    """`toxiproxy.set_enabled` {api, proxy, enabled}: the proxy listens again as it did before."""

    def undo(self, args: Args) -> None:
        """Set the switch."""
        order("POST", _proxy(args), {"enabled": bool(args["enabled"])})

    def observe(self, args: Args) -> str:
        """The switch stands as before and, when open, the port takes connections."""
        status, seen = httpjson.call("GET", _proxy(args), timeout_s=TIMEOUT_S)
        if status != 200 or seen["enabled"] != bool(args["enabled"]):
            raise NotUndone(f"link {args['proxy']} is not {'open' if args['enabled'] else 'cut'}")
        if args["enabled"] and not accepts(str(seen["listen"])):
            raise NotUndone(f"link {args['proxy']} is open but {seen['listen']} takes no connection")
        return f"link {args['proxy']} is {'open' if args['enabled'] else 'cut'}"

    def by_hand(self, args: Args) -> str:
        """Ask Toxiproxy with curl."""
        return curl("POST", _proxy(args), '{"enabled": %s}' % ("true" if args["enabled"] else "false"))


VERBS: dict[str, Verb] = {"toxiproxy.remove_toxic": RemoveToxic(), "toxiproxy.set_enabled": SetEnabled()}


def _proxy(args: Args, path: str = "") -> str:
    return f"{args['api']}/proxies/{httpjson.segment(args['proxy'])}{path}"
