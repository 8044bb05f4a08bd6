"""Where a venue listens: the addresses of its description, taken apart."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from drills.errors import DefinitionError
from loadgen.venues.wire import Endpoint

_TLS = {"ws": False, "wss": True, "http": False, "https": True, "tcp": False, "tcps": True}
_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


def endpoint(url: str, *schemes: str) -> Endpoint:
    """Host, port, path and whether TLS, of an address with one of `schemes` (any we know where none is given).

    Raises DefinitionError for anything else; tcp and tcps must name their port.
    """
    wanted = schemes or tuple(_TLS)
    hint = f"write {' or '.join(f'{scheme}://host:port' for scheme in wanted)}"
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme
    except ValueError as error:  # a port that is no number, a bracket without its partner
        raise DefinitionError(url[:200], f"is not an address ({error})", hint=hint) from error
    if parts.username is not None or parts.password is not None:
        raise DefinitionError(f"{scheme}://…@{host}", "holds a password", hint="secrets belong into venue.keys")
    if scheme not in wanted:
        raise DefinitionError(url[:200], f"is not a {' or '.join(wanted)} address", hint=hint)
    port = port or _PORTS.get(scheme)
    if not host or not port or not _plain(url):
        raise DefinitionError(url[:200], "has no host or no port", hint=hint)
    path = parts.path or "/"
    return Endpoint(host, port, f"{path}?{parts.query}" if parts.query else path, _TLS[scheme])


def endpoints(venue: Mapping[str, Any], key: str, *schemes: str) -> tuple[Endpoint, ...]:
    """The addresses under `key` of a venue's description, one or a list; raises DefinitionError where there is none."""
    urls = venue.get(key)
    urls = [urls] if isinstance(urls, str) and urls else urls
    if not isinstance(urls, Sequence) or not urls:
        raise DefinitionError(f"venue.{key}", "no address", hint=f"list one or more {schemes[0]}:// addresses")
    return tuple(endpoint(str(url), *schemes) for url in urls)


def resolver_of(venue: Mapping[str, Any]) -> str | None:
    """The resolver that knows the venue's names, as "address:port"; None: the system's. Raises DefinitionError."""
    given = venue.get("resolver")
    if given is None:
        return None
    host, _, port = str(given).rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        if not 0 < int(port) < 65536:
            raise ValueError
    except ValueError as error:
        raise DefinitionError("venue.resolver", f"{given!r} is no address", hint="write 127.0.0.1:53") from error
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


def authority(target: Endpoint) -> str:
    """What stands in a Host header: the port is left out where it is the default one of the scheme."""
    default = 443 if target.tls else 80
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == default else f"{host}:{target.port}"


def _plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url
