"""Makes what the cloud says real: nodes through the agent, zones through the links, records through the resolver.

What it did is on disk before it is done. A cloud that was killed comes back with everything running and open, and then
gives back what it had taken: the links it cut, the nodes it turned off, and nothing that others did.
"""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sandbox.cloud.look import Look, Record, Wish
from sandbox.errors import SandboxError
from sandbox.home import read_json, write_json
from sandbox.httpjson import call

BEAT_S = 0.1
"""How often it looks unasked: a change that no request made."""

RETRY_S = 0.2


class Reconciler:
    """Brings one sandbox to what its cloud says."""

    def __init__(self, described: Mapping[str, Any], look: Look, memory: Path) -> None:
        self._agent = str(described["agent"])
        self._toxiproxy = described.get("toxiproxy")
        self._dns = (described.get("dns") or {}).get("admin")
        self._look = look
        self._memory = memory
        known = read_json(memory) or {}
        self._off = set(known.get("off", ()))
        self._cut = set(known.get("cut", ()))
        self._told: dict[str, Record] = {}
        zones = {row["name"]: row["zone"] for row in described["instances"]}
        self._borders = {link["name"]: (zones.get(link["from"]), zones.get(link["to"])) for link in described["links"]}

    def run(self, changed: threading.Event, over: threading.Event) -> None:
        """Follow until `over`: at once after each change, and after a failure until it is done."""
        said = ""
        while not over.is_set():
            changed.wait(BEAT_S)
            changed.clear()
            try:
                self.step()
                said = ""
            except (SandboxError, OSError, RuntimeError, KeyError) as error:
                if str(error) != said:  # once, not five times a second
                    said = str(error)
                    sys.stderr.write(f"cloud: {type(error).__name__}: {error}; trying on\n")
                over.wait(RETRY_S)

    def step(self) -> None:
        """One look and what follows of it. Raises SandboxError where somebody does not answer."""
        wish = self._look.wish()
        self._links(wish)  # cut first, then kill: what was handed to the kernel would still be delivered
        self._power(wish)
        self._records(wish)

    def _links(self, wish: Wish) -> None:
        if self._toxiproxy is None:
            return
        wanted = {name for name, (a, b) in self._borders.items() if a != b and {a, b} & wish.isolated}
        for name in sorted(wanted - self._cut):
            if self._ask("GET", self._proxy(name))["enabled"]:  # one that somebody else has cut is not ours to open
                self._remember(cut=self._cut | {name})
                self._ask("POST", self._proxy(name), {"enabled": False})
        for name in sorted(self._cut - wanted):
            self._ask("POST", self._proxy(name), {"enabled": True})
            self._remember(cut=self._cut - {name})

    def _power(self, wish: Wish) -> None:
        off = {name for name, powered in wish.power.items() if not powered}
        for name in sorted(off - self._off):
            self._remember(off=self._off | {name})
            try:
                self._ask("POST", f"{self._agent}/nodes/{name}/off", {}, timeout_s=10.0)
            except SandboxError:
                self._remember(off=self._off - {name})
                raise
        for name in sorted(self._off - off):
            self._ask("POST", f"{self._agent}/nodes/{name}/on", {}, timeout_s=10.0)
            self._remember(off=self._off - {name})

    def _records(self, wish: Wish) -> None:
        if self._dns is None:
            return
        for name, record in wish.records.items():
            if self._told.get(name) != record:
                body = {"type": "A", "ttl": record.ttl, "values": record.values, "weights": record.weights}
                self._ask("PUT", f"{self._dns}/records/{quote(name, safe='')}", body)
                self._told[name] = record

    def _remember(self, *, off: set[str] | None = None, cut: set[str] | None = None) -> None:
        self._off = self._off if off is None else off
        self._cut = self._cut if cut is None else cut
        write_json(self._memory, {"off": sorted(self._off), "cut": sorted(self._cut)})

    def _proxy(self, name: str) -> str:
        return f"{self._toxiproxy}/proxies/{quote(name, safe='')}"

    def _ask(self, method: str, url: str, body: object = None, timeout_s: float = 2.0) -> Any:  # noqa: ANN401 - JSON
        status, answer = call(method, url, body, timeout_s)
        if status >= 300:
            raise SandboxError(f"{method} {url} answered {status}: {answer}")
        return answer
