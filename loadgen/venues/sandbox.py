"""The sandbox as a venue: canaries over REST, watermark, status by id, and the audit of its engines."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import requests

from drills.errors import ComponentError
from loadgen.venues import AuditResult, CanaryResult, audit, bybit_v5, named

TIMEOUT_S = 2.0
LIMIT_MS = 500
ACCOUNT = "canary"
SYMBOL = "CANARYUSDT"
_BODY = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "1", "price": "0.01"}


class Sandbox:
    """See `loadgen.venues.Venue`; `venue` holds rest, ws, audit (lists of addresses) and secret_file."""

    def watermark(self, venue: Mapping[str, Any]) -> int:
        """Highest sequence number that the leading engine, or else any engine, has applied.

        Raises ComponentError where no engine answers.
        """
        marks, errors = audit.marks(venue["audit"])
        if not marks:
            raise ComponentError("venue", f"no engine tells its watermark ({'; '.join(errors)}); is the sandbox up?")
        leader = audit.leader(marks)
        return leader.seq if leader else max(mark.seq for mark in marks)

    def place_canaries(self, venue: Mapping[str, Any], n: int) -> CanaryResult:
        """Place and cancel `n` post-only orders in a symbol of their own, one after the other, over all gateways."""
        latencies: list[float] = []
        errors: Counter[str] = Counter()
        ok = 0
        name = f"canary-{secrets.token_hex(4)}"
        with named.session(venue) as session:
            for number in range(n):
                url, link = venue["rest"][number % len(venue["rest"])], f"{name}-{number}"
                began = time.monotonic()
                error = _call(session, url, venue, "create", {**_BODY, "timeInForce": "PostOnly", "orderLinkId": link})
                if error:
                    errors[error] += 1
                    continue
                ok += 1
                latencies.append((time.monotonic() - began) * 1000)
                _call(session, url, venue, "cancel", {"symbol": SYMBOL, "orderLinkId": link, "reqId": f"{link}-c"})
        return CanaryResult(
            sent=n,
            ok=ok,
            good=sum(latency <= LIMIT_MS for latency in latencies),
            p99_ms=round(float(np.percentile(latencies, 99)), 3) if latencies else None,
            errors=tuple(f"{count} × {error}" for error, count in errors.items()),
        )

    def audit(self, venue: Mapping[str, Any], run_dir: Path, watermark_timeout_s: float) -> AuditResult:
        """Read journal and fills of the run from two engines, or from one twice, and compare them."""
        return audit.run(_one_log(venue), run_dir, watermark_timeout_s)


def _one_log(venue: Mapping[str, Any]) -> Sequence[str]:
    """The engines of the region that leads: after a failover those of the other region hold another log."""
    regions = (venue.get("regions") or {}).values()
    leader = audit.leader(audit.marks(venue["audit"])[0]) if len(regions) > 1 else None
    return next((one["audit"] for one in regions if leader and leader.url in one["audit"]), venue["audit"])


def _call(session: requests.Session, url: str, venue: Mapping[str, Any], act: str, body: dict[str, str]) -> str | None:
    """What went wrong with one signed REST call, or None."""
    payload = orjson.dumps(body).decode()
    try:
        secret = bybit_v5.secret_of(Path(venue["secret_file"]).read_bytes().strip(), ACCOUNT)
        headers = bybit_v5.rest_headers(secret, ACCOUNT, payload, int(time.time() * 1000))
        answer = session.post(f"{url}/v5/order/{act}", data=payload, headers=headers, timeout=TIMEOUT_S)
        code = int(answer.json()["retCode"])
    except requests.Timeout:
        return f"no answer within {TIMEOUT_S:g} s"
    except requests.ConnectionError:
        return "no connection"
    except (requests.RequestException, OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    return None if code == 0 else f"retCode {code}"
