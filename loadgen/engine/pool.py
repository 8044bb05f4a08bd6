"""The connections of all sessions, on non-blocking sockets and one epoll, spread over the venue's endpoints.

Nothing here blocks or sleeps. A connection that dies goes to the next endpoint at once; where opening one fails, also
for want of an address of its name, after 50 ms. New connections are paced: thousands of clients that come back at once
would be a second disaster. Where a name leads elsewhere, connections follow when they are opened anew, as real ones.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from loadgen.engine.lines import Line, State
from loadgen.engine.names import Found, Names, SystemNames, is_address
from loadgen.engine.ops import Budget
from loadgen.engine.queues import Queues
from loadgen.engine.signals import Down, Event, Heard, Lost, Up, Written
from loadgen.engine.tls import Tls
from loadgen.venues.wire import Inbox, ProtocolError, Wire

__all__ = ["Down", "Event", "Heard", "Lost", "Pool", "Up", "Written"]

MS = 1_000_000
BACK_OFF_NS = 50 * MS
OPEN_TIMEOUT_NS = 1000 * MS
QUIET_NS = 500 * MS
"""A connection that said nothing for so long is pinged."""
DEAD_NS = 1500 * MS
"""A connection that said nothing for so long, and not to a ping either, is given up: its peer is frozen or cut off."""
_TIMER_NS = 10 * MS
_READ = 1 << 18
_READABLE, _WRITABLE = 1, 4  # of epoll; a patched select module may lack the names


class Pool:
    """Connections by session: one each, or, where the wire is serial, up to `connections`.

    `make_socket` and `make_epoll` let a caller whose process patches the standard library pass the real ones;
    `tls` makes the encrypted side of a connection to an endpoint that asks for it, `names` finds the addresses of those
    that are names.
    """

    def __init__(
        self,
        wire: Wire,
        sessions: Iterable[int],
        *,
        seed: int = 1,
        connections: int = 1,
        connects_per_s: float = 500.0,
        timeout_ns: int = 2000 * MS,
        tls: Callable[[str], Tls] | None = None,
        names: Names | None = None,
        make_socket: Callable[..., socket.socket] = socket.socket,
        make_epoll: Callable[[], Any] | None = None,
    ) -> None:
        self._wire, self._make_socket, self._tls = wire, make_socket, tls
        self._names = names or SystemNames(lambda work: threading.Thread(target=work, daemon=True).start())
        self._unnamed: dict[str, dict[Line, None]] = {}  # waiting for the addresses of a host
        self._epoll = (make_epoll or select.epoll)()
        self._rng = random.Random(seed)
        self._lines = {
            session: [
                Line(session, (session + k) % len(wire.endpoints), session + k)
                for k in range(connections if wire.serial else 1)
            ]
            for session in sessions
        }
        self._first = {session: lines[0] for session, lines in self._lines.items()}
        # to be open, others only as they are needed; in order, for what the seed decides must not hang on addresses
        self._wanted = dict.fromkeys(self._first.values())
        self._by_fd: dict[int, Line] = {}
        self._events: list[Event] = []
        self._blocked: set[Line] = set()  # with bytes that the kernel did not take yet
        self._opening = Budget(connects_per_s, max(1.0, connects_per_s / 10))
        self._timer_ns = 0
        self._buffer = memoryview(bytearray(_READ))
        self._queues = Queues(timeout_ns) if wire.serial else None
        self._now = 0
        self.opened = 0
        self.unresolved = 0  # connections that found no address of their endpoint's name
        self.last_error = "not tried yet"

    def ready(self, session: int) -> bool:
        """Whether a session may send now."""
        if self._queues is None:
            return self._first[session].state is State.READY
        return any(line.state is State.READY for line in self._lines[session])

    def all_ready(self) -> bool:
        """Whether every session may send now."""
        return all(map(self.ready, self._lines))

    def write(self, session: int, data: memoryview) -> None:
        """Write bytes as they go out, on a ready session; what the kernel does not take follows with later polls."""
        line = self._first[session]
        if line.out or line.tls is not None:
            self._put(line, bytes(data))
            return
        assert line.socket is not None
        try:
            taken = line.socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            return  # the next read reports it and drops the connection
        if taken < len(data):
            line.out += data[taken:]
            self._blocked.add(line)

    def send(self, session: int, numbers: Sequence[int], payloads: Sequence[bytes]) -> None:
        """Send rendered messages of a ready session: in one write, or, where the wire is serial, one a connection."""
        if self._queues is None:
            line = self._first[session]
            assert line.conversation is not None
            self._put(line, line.conversation.frame(numbers, payloads))
            return
        for number, payload in zip(numbers, payloads, strict=True):
            self._queues.put(session, number, payload, self._now)
        self._serve(session, told=False)

    def poll(self, now_ns: int) -> tuple[Heard, Sequence[Event]]:
        """Read and write what is possible now, open and close what is due; returns what was heard and what happened."""
        self._now = now_ns
        inbox, heard = Inbox(), Heard()
        marks: list[tuple[int, int]] = []  # texts in the inbox so far, and when they came
        for fd, _ in self._epoll.poll(0):
            line = self._by_fd.get(fd)
            if line is not None:
                before = inbox.count()
                self._advance(line, now_ns, inbox)
                if inbox.count() != before:
                    heard.collect(inbox, now_ns, marks)
                    if self._queues is not None:
                        self._queues.answered(line)
                        self._serve(line.session, told=True)
        for line in tuple(self._blocked):
            self._flush(line)
        if self._unnamed:
            for found in self._names.poll(now_ns):
                self._resolved(found, now_ns)
        if now_ns - self._timer_ns >= _TIMER_NS:
            self._timer_ns = now_ns
            self._opening.refill(now_ns)
            for line in tuple(self._wanted):
                self._timers(line, now_ns)
        if self._queues is not None:
            self._events += self._queues.expire(now_ns)
        if inbox.found:
            sizes = np.diff([0, *(count for count, _ in marks)])
            heard.texts.append((inbox.found, np.repeat(np.array([at for _, at in marks], np.int64), sizes)))
        events, self._events = self._events, []
        return heard, events

    def disconnect(self, share: float, now_ns: int) -> int:
        """Hang up a share (0 to 1) of the open connections, as clients that lose their network; returns how many."""
        up = [line for lines in self._lines.values() for line in lines if line.state is State.READY]
        gone = self._rng.sample(up, round(share * len(up)))
        for line in gone:
            self._drop(line, now_ns, "hung up by the replay")
        return len(gone)

    def withdraw(self) -> None:
        """Send nothing that still waits for a free connection; the next poll says what that was."""
        if self._queues is not None:
            self._events += self._queues.withdraw()

    def close(self) -> None:
        """Close every connection without a word; idempotent."""
        for line in self._by_fd.values():
            if line.socket is not None:
                line.socket.close()
                line.socket, line.state = None, State.IDLE
        self._by_fd.clear()
        self._names.close()
        self._epoll.close()

    # -- opening -----------------------------------------------------------------------------------------------------

    def _timers(self, line: Line, now_ns: int) -> None:
        if line.state is State.IDLE:
            if now_ns >= line.due_ns and self._opening.take():
                self._open(line, now_ns)
        elif line.state is not State.READY:
            if now_ns >= line.due_ns:
                self._drop(line, now_ns, f"no answer while {line.state.value}")
        elif self._queues is not None:
            if self._queues.stuck(line, now_ns):
                self._drop(line, now_ns, "no answer to a request")
        elif now_ns - line.heard_ns >= DEAD_NS and line.heard_ns < line.pinged_ns <= now_ns - QUIET_NS:
            self._drop(line, now_ns, "silent")  # not where we stood still ourselves, and have not asked
        elif now_ns - max(line.heard_ns, line.pinged_ns) >= QUIET_NS and line.conversation is not None:
            line.pinged_ns = now_ns
            self._put(line, line.conversation.ping())

    def _open(self, line: Line, now_ns: int) -> None:
        host = self._wire.endpoints[line.endpoint].host.lower().rstrip(".")
        addresses = (host,) if is_address(host) else self._names.look(host, now_ns)
        if addresses is None:
            line.state, line.due_ns = State.RESOLVING, now_ns + OPEN_TIMEOUT_NS
            self._unnamed.setdefault(host, {})[line] = None
            return
        self._dial(line, addresses, now_ns)

    def _resolved(self, found: Found, now_ns: int) -> None:
        for line in self._unnamed.pop(found.host, ()):
            if line.state is not State.RESOLVING:
                continue  # it has given up waiting
            if found.addresses:
                self._dial(line, found.addresses, now_ns)
            else:
                self.unresolved += 1
                self._drop(line, now_ns, found.reason)

    def _dial(self, line: Line, addresses: Sequence[str], now_ns: int) -> None:
        target = self._wire.endpoints[line.endpoint]
        address = addresses[line.turn // len(self._wire.endpoints) % len(addresses)]
        try:
            sock = self._make_socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:  # too many open files: others may close some
            self._drop(line, now_ns, error.strerror or str(error))
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened += 1
        line.opened(sock, now_ns + OPEN_TIMEOUT_NS, now_ns)
        try:
            if target.tls:
                assert self._tls is not None
                line.tls = self._tls(target.host)
            result = sock.connect_ex((address, target.port))
        except (OSError, ValueError) as error:  # ValueError: what is no name cannot be proved by a certificate
            self._drop(line, now_ns, getattr(error, "strerror", None) or str(error))
            return
        if result not in (0, errno.EINPROGRESS):
            self._drop(line, now_ns, errno.errorcode.get(result, str(result)))
            return
        self._by_fd[sock.fileno()] = line
        self._epoll.register(sock.fileno(), _WRITABLE)

    def _connected(self, line: Line, now_ns: int) -> None:
        assert line.socket is not None
        failed = line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            self._drop(line, now_ns, errno.errorcode.get(failed, str(failed)))
            return
        line.state, line.conversation = (
            State.GREETING,
            self._wire.converse(line.session, self._wire.endpoints[line.endpoint]),
        )
        self._epoll.modify(line.socket.fileno(), _READABLE)
        self._put(line, line.conversation.greet())
        if line.tls is not None:
            line.out += line.tls.start()
            self._flush(line)
        self._look(line, now_ns)

    # -- reading and writing -----------------------------------------------------------------------------------------

    def _advance(self, line: Line, now_ns: int, inbox: Inbox) -> None:
        before = inbox.count()
        try:
            if line.state is State.CONNECTING:
                self._connected(line, now_ns)
                return
            assert line.socket is not None
            assert line.conversation is not None
            count = line.socket.recv_into(self._buffer)
            if not count:
                if self._queues is not None:
                    line.conversation.feed(b"", inbox)  # an answer without a length ends with its connection
                self._drop(line, now_ns, "closed by the venue")
                return
            line.heard_ns = now_ns
            data = bytes(self._buffer[:count])
            if line.tls is not None:
                data, back = line.tls.read(data)
                line.out += back
            if data:
                reply = line.conversation.feed(data, inbox)
                if reply:
                    self._put(line, reply)
            self._flush(line)
            self._look(line, now_ns)
        except BlockingIOError:
            return
        except (OSError, ProtocolError, ValueError) as error:
            if self._queues is not None and inbox.count() != before:
                self._queues.answered(line)  # its answer came with its end
            self._drop(line, now_ns, getattr(error, "strerror", None) or str(error))

    def _look(self, line: Line, now_ns: int) -> None:
        """Notice that a conversation has got as far as it must."""
        greeted = line.conversation is not None and line.conversation.ready and (line.tls is None or line.tls.ready)
        if line.state is State.GREETING and greeted:
            first = not self.ready(line.session)
            line.state, line.ready_ns = State.READY, now_ns
            if first:
                self._events.append(Up(line.session))
            if self._queues is not None:
                self._serve(line.session, told=True)

    def _put(self, line: Line, data: bytes) -> None:
        if line.tls is not None:
            data = line.tls.write(data)
        line.out += data
        self._flush(line)

    def _flush(self, line: Line) -> None:
        self._blocked.discard(line)
        if line.socket is None or not line.out:
            return
        try:
            sent = line.socket.send(line.out)
            del line.out[:sent]
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read reports it and drops the connection
        if line.out:
            self._blocked.add(line)

    def _drop(self, line: Line, now_ns: int, reason: str) -> None:
        self.last_error = f"{self._wire.endpoints[line.endpoint]}: {reason}"
        if line.socket is not None:
            self._by_fd.pop(line.socket.fileno(), None)
            line.socket.close()  # the kernel takes a closed descriptor out of the epoll set
        was_ready = line.state is State.READY
        self._blocked.discard(line)
        line.socket, line.state, line.tls, line.conversation = None, State.IDLE, None, None
        line.turn += 1
        line.endpoint = line.turn % len(self._wire.endpoints)
        lived = was_ready and (line.useful or now_ns - line.ready_ns >= BACK_OFF_NS)
        line.due_ns = now_ns if lived else now_ns + BACK_OFF_NS
        if self._queues is not None:
            self._events += self._queues.dropped(line)
            if line is not self._first[line.session]:
                self._wanted.pop(line, None)
        elif was_ready:
            self._events.append(Down(line.session, reason))
        if lived and line in self._wanted and self._opening.take():
            self._open(line, now_ns)

    # -- one request at a time ---------------------------------------------------------------------------------------

    def _serve(self, session: int, *, told: bool) -> None:
        """Put waiting requests on free connections; open one more where they are too few.

        `told`: the engine has handed them over before, and hears when they leave.
        """
        assert self._queues is not None
        for line in self._lines[session]:
            if line.state is State.READY and not self._queues.busy(line):
                entry = self._queues.next(session, line, self._now)
                if entry is None:
                    return
                assert line.conversation is not None
                self._put(line, line.conversation.frame([entry.number], [entry.payload]))
                if told:
                    self._events.append(Written(entry.number, self._now))
        if self._queues.waiting(session):
            spare = next((line for line in self._lines[session] if line not in self._wanted), None)
            if spare is not None and self._opening.take():
                self._wanted[spare] = None
                self._open(spare, self._now)
