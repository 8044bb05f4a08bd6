"""A venue by its names: the description that dials them, and HTTP sessions that ask the venue's own resolver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from drills.errors import DefinitionError
from loadgen.dnsquery import ask
from loadgen.engine.names import is_address
from loadgen.venues.endpoints import resolver_of


def by_name(venue: Mapping[str, Any]) -> dict[str, Any]:
    """A description whose addresses are its names. Raises DefinitionError where the venue has none."""
    if not venue.get("named"):
        raise DefinitionError("load.dial", "name, but the venue tells no names", hint="write address, or leave it out")
    return {**venue, **venue["named"]}


def session(venue: Mapping[str, Any]) -> requests.Session:
    """An HTTP session that resolves as the venue says, and believes its authority."""
    made = requests.Session()
    if venue.get("ca_file"):
        made.verify = str(venue["ca_file"])
        made.trust_env = False  # a bundle of the environment would go before it
    resolver = resolver_of(venue)
    if resolver is not None:
        for scheme in ("http://", "https://"):
            made.mount(scheme, _ByName(resolver))
    return made


class _ByName(HTTPAdapter):
    """Connects to the address that a resolver tells, and proves the server by the name that was asked for."""

    def __init__(self, resolver: str) -> None:
        super().__init__()
        self._resolver = resolver

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,
        cert: str | tuple[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - two dictionaries of urllib3
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        name = str(host["host"])
        if is_address(name):
            return host, pool
        if host["scheme"] == "https":
            pool = {**pool, "server_hostname": name, "assert_hostname": name}  # type: ignore[typeddict-unknown-key]
        return {**host, "host": self._look(name)}, pool

    def _look(self, name: str) -> str:
        try:
            reply = ask(self._resolver, name)
        except OSError as error:
            raise requests.ConnectionError(f"resolver {self._resolver}: {error}") from error
        if reply is None or not reply.addresses:
            said = "no answer" if reply is None else reply.rcode
            raise requests.ConnectionError(f"resolver {self._resolver}: {said} for {name}")
        return reply.addresses[0]
