"""What the users of stock Locust have in common: their order, their signature, their last word.

They use the standard library's JSON and the defaults of their client, as the examples of Locust do; tuned ones use
orjson and leave out what their client lets them leave out.
"""

from __future__ import annotations

import hmac
import itertools
import json
import os
from pathlib import Path
from typing import Any

import orjson
from locust import constant_throughput, events
from locust.env import Environment

from benchmarks.peers.names import LAST_WORD, PACE
from benchmarks.peers.names import TUNED as TUNED_NAME

TUNED = TUNED_NAME in os.environ
SECRET = b"a secret that the stub does not check"
WINDOW = "5000"
PATH = "/v5/order/create"

_numbers = itertools.count()
loads = orjson.loads if TUNED else json.loads


def dumps(value: Any) -> str:  # noqa: ANN401
    """JSON text."""
    return orjson.dumps(value).decode() if TUNED else json.dumps(value)


def wait_time() -> Any:  # noqa: ANN401
    """Full speed, or so many orders a second and user as PACE says."""
    pace = os.environ.get(PACE)
    return constant_throughput(float(pace)) if pace else lambda user: 0


def order() -> tuple[str, dict[str, str]]:
    """The id and the fields of a new order."""
    op_id = f"peer-{next(_numbers):010}"
    fields = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "timeInForce": "GTC"}
    return op_id, {"orderLinkId": op_id, **fields, "price": "50000.1", "qty": "0.010"}


def sign(text: str) -> str:
    """Hex HMAC-SHA256."""
    return hmac.digest(SECRET, text.encode(), "sha256").hex()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _last_word(environment: Environment, **_: Any) -> None:  # noqa: ANN401
    total = environment.stats.total
    p99 = total.get_response_time_percentile(0.99)
    told = {"requests": total.num_requests, "failures": total.num_failures, "p99_ms": p99}
    Path(os.environ[LAST_WORD]).write_bytes(orjson.dumps(told))
