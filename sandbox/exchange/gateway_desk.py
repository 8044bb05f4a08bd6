"""The desk: every request of a logged-in account passes here, whichever way it came in."""

from __future__ import annotations

import time
from collections.abc import Callable

from sandbox.exchange.codes import RetCode
from sandbox.exchange.gateway_links import Router
from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_outbox import Asked, Outbox
from sandbox.exchange.gateway_requests import (
    KINDS,
    STATUS_OP,
    BadRequest,
    Query,
    Reply,
    command,
    safe_id,
    status_query,
    status_reply,
)
from sandbox.exchange.signing import Keyring

Send = Callable[[Reply], None]
Alive = Callable[[], bool]


class Desk:
    """Checks requests and passes them to the leader; each gets exactly one reply, through the outbox."""

    def __init__(self, router: Router, outbox: Outbox, metrics: GatewayMetrics, keyring: Keyring) -> None:
        self.router, self.outbox, self.metrics, self.keyring = router, outbox, metrics, keyring

    def refuse(self, op: str, ident: object, code: RetCode, message: str, send: Send, alive: Alive) -> None:
        """Answer a request that does not even reach the checks of its fields."""
        asked = Asked(KINDS.get(op, "other"), safe_id(ident), "", time.monotonic_ns(), send, alive)
        self.outbox.put(asked, Reply(code, {}, message))

    def order(self, op: str, account: str, req_id: object, args: object, send: Send, alive: Alive) -> None:
        """A place, cancel or amend: `op` is a key of KINDS."""
        now_ns, kind = time.monotonic_ns(), KINDS[op]
        try:
            wanted = command(kind, account, req_id, args, now_ns)
        except BadRequest as error:
            self.refuse(op, req_id, RetCode.BAD_REQUEST, str(error), send, alive)
            return
        link_id = wanted.parent or wanted.client_id
        self.router.submit(Asked(kind, wanted.op_id, link_id, now_ns, send, alive), wanted)

    def status(self, account: str, args: object, send: Send, alive: Alive) -> None:
        """What became of an id of this account."""
        try:
            query = status_query(account, args)
        except BadRequest as error:
            self.refuse(STATUS_OP, "", RetCode.BAD_REQUEST, str(error), send, alive)
            return
        self.ask("status", query, status_reply, send, alive)

    def ask(self, kind: str, query: Query, finish: Callable[..., Reply], send: Send, alive: Alive) -> None:
        """Put `query` to the leader; `finish` makes the reply of its answer."""
        self.router.ask(Asked(kind, query.ident, "", time.monotonic_ns(), send, alive), query, finish)
