"""How fast the stub itself is: `python -m benchmarks.stub.capacity` blasts each of its sides with a canned request.

The figure is messages a second and core of the stub; it must lie far above every generator that is measured with it.
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import orjson

from benchmarks.results import Figure, write
from benchmarks.stub.programs import program
from benchmarks.stub.venue import Stub, cores, pinned, stub

SECONDS = 3.0
_ORDER = orjson.dumps(
    {
        "reqId": "20261121T081502Z-7k2m-0000000000",
        "header": {"X-BAPI-TIMESTAMP": "1790000000000", "X-BAPI-RECV-WINDOW": "5000"},
        "op": "order.create",
        "args": [
            {
                "orderLinkId": "20261121T081502Z-7k2m-0000000000",
                "symbol": "BTCUSDT",
                "side": "Buy",
                "orderType": "Limit",
                "timeInForce": "GTC",
                "price": "50000.1",
                "qty": "0.010",
            }
        ],
    }
)
_UPGRADE = (
    b"GET /v5/trade HTTP/1.1\r\nHost: stub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Blast:
    """What is sent to one side of the stub, and how much of it is under way."""

    side: str
    greeting: bytes
    request: bytes
    marker: str  # stands once in each answer
    connections: int
    depth: int


def blasts() -> list[Blast]:
    """One for each side; HTTP has one request under way on each connection, as clients without pipelining have."""
    frame = bytes((0x81, 0x80 | 126)) + len(_ORDER).to_bytes(2, "big") + bytes(4) + _ORDER  # masked with zeros
    place = pack("<HBBBBBxQQqqqH14x", 64, 16, 1, 1, 1, 1, 7, 0, 5_000_010_000_000, 1_000_000, 1_790_000_000_000, 0)
    head = f"POST /v5/order/create HTTP/1.1\r\nHost: stub\r\nContent-Length: {len(_ORDER)}\r\n\r\n".encode()
    return [
        Blast("ws", _UPGRADE, frame, '"retCode"', 16, 256),
        Blast("binary", b"", place, "\x20\x00\u0090", 16, 1024),
        Blast("rest", b"", head + _ORDER, '"retCode"', 64, 1),
    ]


def blast(target: Stub, plan: Blast, seconds: float) -> tuple[int, float, float]:
    """(answered messages, CPU seconds of the stub, seconds) of one blast; raises CalledProcessError."""
    told = {
        "greeting": base64.b64encode(plan.greeting).decode(),
        "request": base64.b64encode(plan.request).decode(),
        "marker": base64.b64encode(plan.marker.encode("latin-1")).decode(),
    }
    address = f"127.0.0.1:{target.ports[plan.side]}"
    command = [str(program("blast")), address, str(plan.connections), str(plan.depth), str(seconds)]
    before = target.cpu_s()
    with pinned(cores().generator):
        done = subprocess.run(command, input=orjson.dumps(told), stdout=subprocess.PIPE, check=True)
    return int(orjson.loads(done.stdout)["answered"]), target.cpu_s() - before, seconds


def main() -> None:
    """Measure and write benchmarks/out/stub.json."""
    figures = []
    with tempfile.TemporaryDirectory() as name, stub(Path(name)) as target:
        for plan in blasts():
            answered, cpu, seconds = blast(target, plan, SECONDS)
            figures += [
                Figure(f"stub-{plan.side}-per-core", answered / cpu, "1/s"),
                Figure(f"stub-{plan.side}-share", cpu / seconds, "cores"),
            ]
    write("stub", figures)


if __name__ == "__main__":
    main()
