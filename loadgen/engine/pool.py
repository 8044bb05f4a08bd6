"""One WebSocket connection per session, on non-blocking sockets and one epoll, spread over the venue's gateways.

Nothing here blocks or sleeps. A connection that dies goes to the next gateway at once; where opening one fails, after
50 ms.
"""

from __future__ import annotations

import base64
import errno
import random
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from drills.errors import DefinitionError
from loadgen.engine import ws

MS = 1_000_000
BACK_OFF_NS = 50 * MS
OPEN_TIMEOUT_NS = 1000 * MS
QUIET_NS = 500 * MS
"""A connection that said nothing for so long is pinged."""
DEAD_NS = 1500 * MS
"""A connection that said nothing for so long, pings and all, is given up: its peer is frozen or cut off."""
_TIMER_NS = 10 * MS
_READ = 1 << 18
_READABLE, _WRITABLE = 1, 4  # of epoll; a patched select module may lack the names


class Endpoint(NamedTuple):
    """Where a gateway listens."""

    host: str
    port: int
    path: str


class Up(NamedTuple):
    """A session is connected and signed in."""

    session: int


class Down(NamedTuple):
    """A session that was up has lost its connection."""

    session: int
    reason: str


class Answer(NamedTuple):
    """A message of the venue to a session."""

    session: int
    message: dict[str, Any]


Event = Up | Down | Answer


class _State(Enum):
    IDLE = 0
    CONNECTING = 1
    UPGRADING = 2
    SIGNING_IN = 3
    READY = 4


@dataclass(slots=True)
class _Connection:
    session: int
    endpoint: int
    state: _State = _State.IDLE
    socket: socket.socket | None = None
    due_ns: int = 0  # idle: when to open; opening: when to give up
    heard_ns: int = 0
    pinged_ns: int = 0
    ready_ns: int = 0
    key: bytes = b""
    head: bytes = b""
    out: bytearray = field(default_factory=bytearray)
    decoder: ws.Decoder = field(default_factory=ws.Decoder)


def endpoint(url: str) -> Endpoint:
    """Host, port and path of a ws:// address; raises DefinitionError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "ws" or not parts.hostname:
        raise DefinitionError(url, "is not a ws:// address", hint="the replay speaks plain WebSocket only")
    return Endpoint(parts.hostname, parts.port or 80, parts.path or "/")


class Pool:
    """The connections of all sessions.

    `auth(session)` renders the sign-in message. `make_socket` and `make_epoll` let a caller whose process patches the
    standard library pass the real ones.
    """

    def __init__(
        self,
        urls: Sequence[str],
        sessions: int,
        auth: Callable[[int], bytes],
        *,
        seed: int = 1,
        make_socket: Callable[..., socket.socket] = socket.socket,
        make_epoll: Callable[[], Any] | None = None,
    ) -> None:
        self._endpoints = [endpoint(url) for url in urls]
        self._auth, self._make_socket = auth, make_socket
        self._epoll = (make_epoll or select.epoll)()
        self._rng = random.Random(seed)
        self._all = [_Connection(session, session % len(self._endpoints)) for session in range(sessions)]
        self._by_fd: dict[int, _Connection] = {}
        self._events: list[Event] = []
        self._blocked: set[int] = set()  # sessions with bytes that the kernel did not take yet
        self._timer_ns = 0
        self.last_error = "not tried yet"

    def ready(self, session: int) -> bool:
        """Whether a session may send now."""
        return self._all[session].state is _State.READY

    def all_ready(self) -> bool:
        """Whether every session may send now."""
        return all(connection.state is _State.READY for connection in self._all)

    def send(self, session: int, payloads: Sequence[bytes]) -> None:
        """Send messages of a ready session in one write; what the kernel does not take now follows with later polls."""
        connection = self._all[session]
        rng = self._rng
        connection.out += b"".join([ws.frame(payload, rng) for payload in payloads])
        self._flush(connection)

    def poll(self, now_ns: int) -> list[Event]:
        """Read and write what is possible now, open and close what is due; returns what happened, in order."""
        for fd, _ in self._epoll.poll(0):
            connection = self._by_fd.get(fd)
            if connection is not None:
                self._advance(connection, now_ns)
        for session in tuple(self._blocked):
            self._flush(self._all[session])
        if now_ns - self._timer_ns >= _TIMER_NS:
            self._timer_ns = now_ns
            for connection in self._all:
                self._timers(connection, now_ns)
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Close every connection without a word; idempotent."""
        for connection in self._all:
            if connection.socket is not None:
                connection.socket.close()
                connection.socket, connection.state = None, _State.IDLE
        self._by_fd.clear()
        self._epoll.close()

    def _timers(self, connection: _Connection, now_ns: int) -> None:
        state = connection.state
        if state is _State.IDLE:
            if now_ns >= connection.due_ns:
                self._open(connection, now_ns)
        elif state is not _State.READY:
            if now_ns >= connection.due_ns:
                self._drop(connection, now_ns, f"no answer while {state.name.lower().replace('_', ' ')}")
        elif now_ns - connection.heard_ns >= DEAD_NS:
            self._drop(connection, now_ns, "silent")
        elif now_ns - max(connection.heard_ns, connection.pinged_ns) >= QUIET_NS:
            connection.pinged_ns = now_ns
            self.send(connection.session, [b'{"op":"ping"}'])

    def _open(self, connection: _Connection, now_ns: int) -> None:
        target = self._endpoints[connection.endpoint]
        sock = self._make_socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.socket, connection.state = sock, _State.CONNECTING
        connection.due_ns, connection.heard_ns = now_ns + OPEN_TIMEOUT_NS, now_ns
        connection.out, connection.head, connection.decoder = bytearray(), b"", ws.Decoder()
        result = sock.connect_ex((target.host, target.port))
        if result not in (0, errno.EINPROGRESS):
            self._drop(connection, now_ns, errno.errorcode.get(result, str(result)))
            return
        self._by_fd[sock.fileno()] = connection
        self._epoll.register(sock.fileno(), _WRITABLE)

    def _advance(self, connection: _Connection, now_ns: int) -> None:
        try:
            if connection.state is _State.CONNECTING:
                self._connected(connection, now_ns)
                return
            assert connection.socket is not None
            data = connection.socket.recv(_READ)
            if not data:
                self._drop(connection, now_ns, "closed by the gateway")
                return
            connection.heard_ns = now_ns
            if connection.state is _State.UPGRADING:
                data = self._upgraded(connection, data)
            for opcode, payload in connection.decoder.feed(data):
                if not self._take(connection, opcode, payload, now_ns):
                    return
        except BlockingIOError:
            return
        except (OSError, ws.ProtocolError, ValueError) as error:
            self._drop(connection, now_ns, getattr(error, "strerror", None) or str(error))

    def _connected(self, connection: _Connection, now_ns: int) -> None:
        assert connection.socket is not None
        failed = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            self._drop(connection, now_ns, errno.errorcode.get(failed, str(failed)))
            return
        target = self._endpoints[connection.endpoint]
        connection.key = base64.b64encode(self._rng.randbytes(16))
        connection.state = _State.UPGRADING
        self._epoll.modify(connection.socket.fileno(), _READABLE)
        connection.out += ws.request(f"{target.host}:{target.port}", target.path, connection.key)
        self._flush(connection)

    def _upgraded(self, connection: _Connection, data: bytes) -> bytes:
        """Bytes behind the answer to the handshake; sends the sign-in once it is complete."""
        connection.head += data
        head, blank, rest = connection.head.partition(b"\r\n\r\n")
        if not blank:
            return b""
        ws.check_response(head, connection.key)
        connection.state = _State.SIGNING_IN
        self.send(connection.session, [self._auth(connection.session)])
        return rest

    def _take(self, connection: _Connection, opcode: int, payload: bytes, now_ns: int) -> bool:
        """Handle one message; False when the connection is gone."""
        if opcode == ws.CLOSE:
            self._drop(connection, now_ns, "closed by the gateway")
            return False
        if opcode == ws.PING:
            connection.out += ws.frame(payload, self._rng, ws.PONG)
            self._flush(connection)
        elif opcode in (ws.TEXT, ws.BINARY):
            message = orjson.loads(payload)
            if connection.state is _State.READY:
                self._events.append(Answer(connection.session, message))
            elif message.get("op") == "auth":
                if message.get("retCode") != 0:
                    self._drop(connection, now_ns, f"sign-in refused: {message.get('retCode')} {message.get('retMsg')}")
                    return False
                connection.state, connection.ready_ns = _State.READY, now_ns
                self._events.append(Up(connection.session))
        return True

    def _flush(self, connection: _Connection) -> None:
        self._blocked.discard(connection.session)
        if connection.socket is None or not connection.out:
            return
        try:
            sent = connection.socket.send(connection.out)
            del connection.out[:sent]
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read reports it and drops the connection
        if connection.out:
            self._blocked.add(connection.session)

    def _drop(self, connection: _Connection, now_ns: int, reason: str) -> None:
        target = self._endpoints[connection.endpoint]
        self.last_error = f"{target.host}:{target.port}: {reason}"
        if connection.socket is not None:
            self._by_fd.pop(connection.socket.fileno(), None)
            connection.socket.close()  # the kernel takes a closed descriptor out of the epoll set
        was_ready = connection.state is _State.READY
        connection.socket, connection.state = None, _State.IDLE
        connection.endpoint = (connection.endpoint + 1) % len(self._endpoints)
        lived = was_ready and now_ns - connection.ready_ns >= BACK_OFF_NS
        connection.due_ns = now_ns if lived else now_ns + BACK_OFF_NS
        if was_ready:
            self._events.append(Down(connection.session, reason))
        if lived:
            self._open(connection, now_ns)
