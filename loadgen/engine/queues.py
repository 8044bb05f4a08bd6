"""Requests of sessions whose connections carry one at a time, as HTTP/1.1 does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from loadgen.engine.lines import Line
from loadgen.engine.signals import Lost


@dataclass(slots=True)
class Request:
    """A rendered message that waits for a free connection, or for its answer."""

    number: int
    payload: bytes
    since_ns: int  # it was put here, or, once it has a connection, written
    waits: bool = True


class Queues:
    """What waits, by session, and what each connection is busy with."""

    def __init__(self, timeout_ns: int) -> None:
        self._timeout_ns = timeout_ns
        self._waiting: dict[int, deque[Request]] = {}
        self._order: deque[tuple[int, Request]] = deque()  # session and request, the oldest first; some have left
        self._busy: dict[Line, Request] = {}

    def put(self, session: int, number: int, payload: bytes, now_ns: int) -> None:
        """Add a request behind those of its session."""
        request = Request(number, payload, now_ns)
        self._waiting.setdefault(session, deque()).append(request)
        self._order.append((session, request))

    def waiting(self, session: int) -> int:
        """How many requests of a session have no connection yet."""
        return len(self._waiting.get(session, ()))

    def busy(self, line: Line) -> bool:
        """Whether a connection waits for an answer."""
        return line in self._busy

    def next(self, session: int, line: Line, now_ns: int) -> Request | None:
        """The request that a free connection carries from now on."""
        queue = self._waiting.get(session)
        if not queue:
            return None
        request = queue.popleft()
        request.since_ns, request.waits = now_ns, False
        self._busy[line] = request
        return request

    def answered(self, line: Line) -> bool:
        """A connection has its answer; False where it carried no request."""
        line.useful = True
        return self._busy.pop(line, None) is not None

    def stuck(self, line: Line, now_ns: int) -> bool:
        """Whether a connection has waited for its answer beyond the timeout."""
        request = self._busy.get(line)
        return request is not None and now_ns - request.since_ns >= self._timeout_ns

    def dropped(self, line: Line) -> list[Lost]:
        """The connection is gone: what it carried is in doubt."""
        request = self._busy.pop(line, None)
        return [Lost([request.number], "disconnected", False)] if request is not None else []

    def expire(self, now_ns: int) -> list[Lost]:
        """Requests that found no connection within the timeout; they never left."""
        return self._take_back(now_ns - self._timeout_ns)

    def withdraw(self) -> list[Lost]:
        """All requests that have no connection; they never leave."""
        return self._take_back(None)

    def _take_back(self, until_ns: int | None) -> list[Lost]:
        """Those that were put here by then, or all; costs nothing where there is none."""
        back: list[int] = []
        order = self._order
        while order and (not order[0][1].waits or until_ns is None or order[0][1].since_ns <= until_ns):
            session, request = order.popleft()
            if request.waits:
                self._waiting[session].popleft()  # the oldest of all is the oldest of its session
                back.append(request.number)
        return [Lost(back, "no-connection", True)] if back else []
