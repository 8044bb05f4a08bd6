"""Toxiproxy, through toxiproxy-python, made safe.

The package keeps host and port on a class (two servers in one process would be one), lets an HTTP 500 pass as success
and has no timeout. Here every object holds its own server, every call its timeout, and a status that is not 2xx raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import toxiproxy
from toxiproxy.toxic import Toxic

from chaoslib_ext import httpjson
from drills.errors import ComponentError

TIMEOUT_S = 2.0

Stream = Literal["upstream", "downstream"]
"""Upstream is from the dialling side to the dialled one; downstream is the way back."""


@dataclass(frozen=True, slots=True)
class Api:
    """One Toxiproxy server's HTTP interface. Raises ComponentError on no answer and on every status but 2xx."""

    url: str

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Send one request; return its JSON."""
        try:
            status, answer = httpjson.call(method, self.url + path, body, timeout_s=TIMEOUT_S)
        except httpjson.Unreachable as error:
            raise ComponentError("toxiproxy", f"{error}; is the sandbox up?") from error
        if not 200 <= status < 300:
            raise ComponentError("toxiproxy", f"{method} {self.url}{path} answered {status}: {answer}")
        return answer


class LinkProxy(toxiproxy.Proxy):  # type: ignore[misc]  # untyped package
    """The proxy of one link: name, listen, upstream ("host:port"), enabled, and `listed` toxics as read."""

    def __init__(self, api: Api, **fields: Any) -> None:  # noqa: ANN401 - JSON of the server
        super().__init__(**fields)
        self.name: str
        self.listen: str
        self.upstream: str
        self.enabled: bool
        self.listed: tuple[str, ...] = tuple(sorted(one["name"] for one in fields.get("toxics") or ()))
        self._api = api
        self._path = f"/proxies/{httpjson.segment(self.name)}"

    def toxics(self) -> dict[str, Toxic]:
        """Toxics by name, as they are now."""
        raw = self._api.call("GET", f"{self._path}/toxics")
        return {one["name"]: Toxic(**one, proxy=self.name) for one in raw}

    def add_toxic(self, **fields: Any) -> None:  # noqa: ANN401 - attributes of a toxic
        """Add a toxic: name, type, stream, attributes (and toxicity, default 1)."""
        self._api.call("POST", f"{self._path}/toxics", {"toxicity": 1.0, **fields})

    def destroy_toxic(self, toxic_name: str) -> bool:
        """Remove one toxic."""
        self._api.call("DELETE", f"{self._path}/toxics/{httpjson.segment(toxic_name)}")
        return True

    def destroy(self) -> bool:
        """Remove the proxy itself."""
        self._api.call("DELETE", self._path)
        return True

    def enable(self) -> None:
        """Listen again."""
        self._switch(enabled=True)

    def disable(self) -> None:
        """Stop listening and drop every connection."""
        self._switch(enabled=False)

    def _switch(self, *, enabled: bool) -> None:
        self._api.call("POST", self._path, {"enabled": enabled})
        self.enabled = enabled


class LinkServer(toxiproxy.Toxiproxy):  # type: ignore[misc]  # untyped package
    """One Toxiproxy server."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._api = Api(self.url)

    def proxies(self) -> dict[str, LinkProxy]:
        """Every proxy by name."""
        return {name: LinkProxy(self._api, **raw) for name, raw in self._api.call("GET", "/proxies").items()}

    def proxy(self, name: str) -> LinkProxy:
        """One proxy. Raises ComponentError when there is none of that name."""
        return LinkProxy(self._api, **self._api.call("GET", f"/proxies/{httpjson.segment(name)}"))

    def running(self) -> bool:
        """Whether the server answers."""
        try:
            self.version()
        except ComponentError:
            return False
        return True

    def version(self) -> str:
        """Version of the server."""
        answer = self._api.call("GET", "/version")
        return str(answer.get("version", answer) if isinstance(answer, dict) else answer)

    def create(self, upstream: str, name: str, listen: str | None = None, enabled: bool | None = None) -> LinkProxy:
        """Make a proxy (listen default: a free port of 127.0.0.1)."""
        body = {"upstream": upstream, "name": name, "listen": listen or "127.0.0.1:0", "enabled": enabled is not False}
        return LinkProxy(self._api, **self._api.call("POST", "/proxies", body))

    def reset(self) -> bool:
        """Refused: it would also remove what is not ours."""
        raise ComponentError("toxiproxy", "reset would remove the toxics of others; undo the run instead")
