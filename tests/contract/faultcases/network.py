"""Faults on links that only Toxiproxy itself can do: one box for all, each test leaves it as it was."""

from __future__ import annotations

from tests.contract.faultcases import Box, Case
from tests.contract.faultcases.exchange import toxiproxy_box

ONE, ALL = "gateway-0>engine-0", "gateway-0>engine-0, gateway-0>engine-1"
NOWHERE = {"link": "gateway-0>engine-7"}
WHERE = ("links",)

CASES = {
    "network.bandwidth": Case(
        {"link": ONE, "kbps": 80}, f"at most 80 kbit/s each way on {ONE}", {**NOWHERE, "kbps": 80}, WHERE
    ),
    "network.slicer": Case(
        {"link": ONE, "bytes": 32, "delay": "4ms"},
        f"pieces of 32 bytes, 4ms apart, each way on {ONE}",
        {**NOWHERE, "bytes": 8},
        WHERE,
    ),
    "network.timeout": Case({"link": "gateway-engine"}, f"swallow everything on {ALL}", NOWHERE, WHERE),
    "network.reset": Case(
        {"link": ONE, "ms": 10}, f"reset what is said each way on {ONE}, after 10 ms", NOWHERE, WHERE
    ),
    "network.slow-close": Case(
        {"link": ONE, "ms": 60}, f"close 60 ms late each way on {ONE}", {**NOWHERE, "ms": 60}, WHERE
    ),
    "network.flap": Case(
        {"link": ONE, "up": "100ms", "down": "50ms"}, f"cut {ONE} for 50ms after every 100ms", NOWHERE, WHERE
    ),
}

BOXES = {"links": Box(toxiproxy_box, shared=True)}
