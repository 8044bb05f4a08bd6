"""Faults on names and certificates: a real resolver alone, and a real gateway that nothing trades through."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from chaoslib_ext.world import World
from tests.contract.faultcases import Box, Case
from tests.realnames import API, exchange_with_certificates, exchange_with_names

CASES = {
    "dns.fail": Case(
        {"name": API, "mode": "servfail"},
        f"the resolver answers SERVFAIL to {API}",
        {"name": "apo.exchange.test"},
        ("dns",),
    ),
    "dns.stale": Case({}, "the resolver's answer to every name stays as it is", {"name": "api"}, ("dns",)),
    "tls.expire": Case(
        {"service": "gateway"}, "expired certificate at gateway-0", {"service": "matching-engine"}, ("tls",)
    ),
}


def _box(make: Callable[[Path], AbstractContextManager[dict[str, Any]]]) -> Box:
    @contextlib.contextmanager
    def opened() -> Iterator[World]:
        with tempfile.TemporaryDirectory() as folder, make(Path(folder)) as described:
            yield World.from_describe(described)

    return Box(opened, shared=True)


BOXES = {"dns": _box(exchange_with_names), "tls": _box(exchange_with_certificates)}
