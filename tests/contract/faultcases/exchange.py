"""Faults on instances and links: two engines behind links, once by the stand-in, once by Toxiproxy itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from chaoslib_ext.world import World
from tests.contract.faultcases import Box, Case
from tests.realproxy import RealToxiproxy, toxiproxy_server
from tests.standins import exchange

BOTH = ("stand-in", "toxiproxy")

CASES = {
    "process.kill": Case(
        {"service": "matching-engine", "role": "primary"},
        "SIGKILL engine-0, held down",
        {"service": "matching-engine", "role": "observer"},
        ("stand-in",),
    ),
    "process.pause": Case({"instance": "engine-0"}, "SIGSTOP engine-0", {"instance": "engine-7"}, ("stand-in",)),
    "network.latency": Case(
        {"link": "gateway-0>engine-0", "ms": 60},
        "60 ms each way on gateway-0>engine-0",
        {"link": "gw-engine", "ms": 1},
        BOTH,
    ),
    "network.cut": Case(
        {"link": "gateway-engine"}, "cut gateway-0>engine-0, gateway-0>engine-1", {"link": "engine-buss"}, BOTH
    ),
}


@contextlib.contextmanager
def _stand_in() -> Iterator[World]:
    with exchange() as made:
        yield World.from_describe(made.describe())


@contextlib.contextmanager
def toxiproxy_box() -> Iterator[World]:
    """The stand-in with Toxiproxy itself on its links."""
    binary = toxiproxy_server()
    if binary is None:
        pytest.skip("no toxiproxy-server on this machine")
    with exchange() as made:
        made.toxiproxy.close()
        real = RealToxiproxy(binary, made.links)
        made.toxiproxy = real
        try:
            yield World.from_describe(made.describe())
        finally:
            real.close()
            made.toxiproxy = real


BOXES = {"stand-in": Box(_stand_in), "toxiproxy": Box(toxiproxy_box)}
