"""A resolver whose records can be switched: its operators' side over HTTP, and what it really answers over UDP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib_ext import httpjson
from drills.errors import ComponentError, Refused
from loadgen.dnsmessage import Reply
from loadgen.dnsquery import QUERY_S, ask

SILENT_S = 0.3
"""A healthy resolver of this host answers within a millisecond."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one zone: `admin` is the resolver's HTTP address, `address` the host:port where it is asked.

    Every method raises ComponentError (resolver, and what it said) where it does not do as it is told.
    """

    admin: str
    address: str
    zone: str

    @classmethod
    def of(cls, describe: Mapping[str, Any]) -> Records:
        """Those of a description's resolver. Raises Refused `target-matches-nothing` where it has none."""
        found = describe.get("dns")
        if not found:
            raise Refused("target-matches-nothing", "there is no resolver here; nothing was touched")
        return cls(str(found["admin"]).rstrip("/"), str(found["address"]), str(found["zone"]))

    def all(self) -> dict[str, dict[str, Any]]:
        """Every record by name: {type, ttl, values, weights}."""
        return dict(self._call("GET", "/records"))

    def get(self, name: str) -> dict[str, Any] | None:
        """One record, None where there is none of that name."""
        found = self._call("GET", f"/records/{httpjson.segment(name)}", missing_ok=True)
        return None if found is None else dict(found)

    def put(
        self,
        name: str,
        values: Sequence[str],
        *,
        ttl: int | None = None,
        weights: Sequence[int] = (),
        type: str = "A",  # as the record calls it
    ) -> dict[str, Any] | None:
        """Let a name lead to `values`; returns the record that it replaced (None: there was none), for its undo.

        Without `ttl` the record keeps the one that it has.
        """
        before = self.get(name)
        lasts = ttl if ttl is not None else (before or {}).get("ttl")
        body = {"type": type, "values": list(values)} | ({} if lasts is None else {"ttl": lasts})
        self._call("PUT", f"/records/{httpjson.segment(name)}", body | ({"weights": list(weights)} if weights else {}))
        return before

    def restore(self, name: str, record: Mapping[str, Any] | None) -> None:
        """Put back what `put` returned."""
        path = f"/records/{httpjson.segment(name)}"
        if record is None:
            self._call("DELETE", path, missing_ok=True)
        else:
            self._call("PUT", path, dict(record))

    def observe(self, name: str, timeout_s: float = QUERY_S) -> Reply | None:
        """What it really answers, by a query over UDP; None where it is silent."""
        try:
            return ask(self.address, name, timeout_s)
        except ConnectionRefusedError as error:
            raise ComponentError("resolver", f"nothing listens at {self.address}") from error

    def leads_to(self, name: str, values: Sequence[str]) -> bool:
        """Whether a real query is answered with these addresses and no others; of a weighted record, with some."""
        reply = self.observe(name)
        weighted = bool((self.get(name) or {}).get("weights"))
        found = set(reply.addresses) if reply is not None else set()
        return bool(found) and (found <= set(values) if weighted else found == set(values))

    def faults(self) -> dict[str, dict[str, Any]]:
        """What was made to go wrong with it, by key."""
        return dict(self._call("GET", "/faults"))

    def begin(self, key: str, mode: str, name: str | None) -> None:
        """Let something go wrong: servfail, nxdomain, timeout or stale, for one name or (None) all."""
        self._call("POST", f"/faults/{httpjson.segment(key)}", {"mode": mode} | ({"name": name} if name else {}))

    def _call(self, method: str, path: str, body: object = None, *, missing_ok: bool = False) -> Any:  # noqa: ANN401
        try:
            status, answer = httpjson.call(method, self.admin + path, body, timeout_s=QUERY_S)
        except httpjson.Unreachable as error:
            raise ComponentError("resolver", str(error)) from error
        if status == 404 and missing_ok:
            return None
        if status >= 300:
            said = answer.get("error", answer) if isinstance(answer, dict) else answer
            raise ComponentError("resolver", f"{method} {path} answered {status}: {said}")
        return answer
