"""A pool on sockets that are none, and the venue at their other ends."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from loadgen.engine.pool import MS, Event, Heard, Pool
from loadgen.venues.http1 import Http1
from loadgen.venues.wire import Answer, Endpoint, Inbox, Meaning, ProtocolError

SECOND = 1_000 * MS
HERE = (Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2))


class Peer:
    """A socket, and the venue at its other end."""

    def __init__(self, net: Net, fd: int, family: int) -> None:
        self.net, self.fd, self.family = net, fd, family
        self.target: tuple[str, int] = ("", 0)
        self.connected = self.closed = False
        self.inbound = bytearray()
        self.outbound = bytearray()
        self.ended = False
        self.room: int | None = None  # bytes that the kernel still takes; None: any number
        self.broken: OSError | None = None

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, *rest: int) -> None:
        pass

    def fileno(self) -> int:
        return -1 if self.closed else self.fd

    def connect_ex(self, target: tuple[str, int]) -> int:
        self.target = target
        return self.net.connect(self)

    def getsockopt(self, level: int, name: int) -> int:
        self.connected = not self.net.refuses(self)
        return 0 if self.connected else errno.ECONNREFUSED

    def send(self, data: bytes | bytearray | memoryview) -> int:
        assert self.connected
        assert not self.closed
        if self.broken is not None:
            raise self.broken
        taken = len(data) if self.room is None else min(self.room, len(data))
        if not taken:
            raise BlockingIOError
        if self.room is not None:
            self.room -= taken
        self.outbound += data[:taken]
        self.net.hear(self, bytes(data[:taken]))
        return taken

    def recv_into(self, buffer: memoryview) -> int:
        if not self.inbound and not self.ended:
            raise BlockingIOError
        size = min(len(buffer), len(self.inbound))
        buffer[:size] = self.inbound[:size]
        del self.inbound[:size]
        return size

    def close(self) -> None:
        self.net.open.pop(self.fd, None)
        self.closed = True


class Net:
    """All sockets, the clock, and what listens where."""

    def __init__(self) -> None:
        self.now = 100 * SECOND
        self.open: dict[int, Peer] = {}
        self.made: list[tuple[int, Peer]] = []  # when
        self.down: set[str] = set()  # hosts that refuse
        self.hole: set[str] = set()  # hosts that do not answer
        self.files = 1 << 20  # open ones at most
        self.unknown: dict[str, Exception] = {}
        self.hear: Callable[[Peer, bytes], None] = lambda peer, data: None
        self._watched: dict[int, int] = {}

    def socket(self, family: int, kind: int) -> Any:  # noqa: ANN401 - stands for a socket
        if len(self.open) >= self.files:
            raise OSError(errno.EMFILE, "Too many open files")
        fd = next(number for number in range(3, 1 << 20) if number not in self.open)
        self.open[fd] = Peer(self, fd, family)
        return self.open[fd]

    def connect(self, peer: Peer) -> int:
        if peer.target[0] in self.unknown:
            raise self.unknown[peer.target[0]]
        self.made.append((self.now, peer))
        return errno.EINPROGRESS

    def refuses(self, peer: Peer) -> bool:
        return peer.target[0] in self.down

    def opened_by(self, when: int) -> int:
        return sum(at < when for at, _ in self.made)

    # the epoll

    def register(self, fd: int, events: int) -> None:
        self._watched[fd] = events

    modify = register

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        assert timeout == 0
        found = []
        for fd, peer in list(self.open.items()):
            if self._watched.get(fd) == 4 and not peer.connected:
                if peer.target[0] not in self.hole:
                    found.append((fd, 4))
            elif self._watched.get(fd) == 1 and (peer.inbound or peer.ended):
                found.append((fd, 1))
        return found

    def close(self) -> None:
        self._watched.clear()


class Talk:
    """Lines of text: HI is answered with OK, a number with itself, PING with PONG."""

    def __init__(self) -> None:
        self.ready = False
        self._rest = b""

    def greet(self) -> bytes:
        return b"HI\n"

    def ping(self) -> bytes:
        return b"PING\n"

    def frame(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        return b"".join(payloads)

    def feed(self, data: bytes, inbox: Inbox) -> bytes:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"OK":
                self.ready = True
            elif line == b"BYE":
                raise ProtocolError("said bye")
            elif line != b"PONG":
                number = np.array([int(line)])
                inbox.bulk.append((number, number, number))
        return b""


class Lines:
    """A wire of `Talk`s, or of HTTP connections."""

    prerendered = True
    needs_server_id = False

    def __init__(self, endpoints: Sequence[Endpoint] = HERE, *, serial: bool = False) -> None:
        self.endpoints, self.serial = endpoints, serial

    def converse(self, session: int, target: Endpoint | None = None) -> Talk | Http1:
        return Http1(target or HERE[0], _read) if self.serial else Talk()


def _read(number: int, request: bytes, status: int, body: bytes) -> Answer:
    return Answer(number, Meaning.OK if status < 400 else Meaning.REJECT)


def talk(peer: Peer, data: bytes) -> None:
    """A venue that answers everything at once."""
    for line in data.split(b"\n")[:-1]:
        peer.inbound += {b"HI": b"OK", b"PING": b"PONG"}.get(line, line) + b"\n"


class Bench:
    """A pool on a net whose clock the test moves."""

    def __init__(self, sessions: int = 1, *, serial: bool = False, **options: Any) -> None:  # noqa: ANN401
        self.net = Net()
        self.net.hear = (lambda peer, data: None) if serial else talk
        wire: Any = Lines(options.pop("endpoints", HERE), serial=serial)
        self.pool = Pool(wire, range(sessions), make_socket=self.net.socket, make_epoll=lambda: self.net, **options)
        self.events: list[tuple[int, Event]] = []
        self.heard: list[Heard] = []

    def run(self, ms: float, step_ms: float = 1) -> None:
        until = self.net.now + round(ms * MS)
        while self.net.now < until:
            self.net.now = min(until, self.net.now + round(step_ms * MS))
            self.poll()

    def poll(self) -> None:
        heard, events = self.pool.poll(self.net.now)
        self.heard.append(heard)
        self.events += [(self.net.now, event) for event in events]

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def answers(self) -> list[int]:
        return [answer.number for heard in self.heard for _, answer in heard.answers]

    def peers(self) -> list[Peer]:
        return list(self.net.open.values())


REQUEST = b"GET /%d HTTP/1.1\r\n\r\n"


class Http(Bench):
    """A serial pool; the venue answers when the test says so."""

    def __init__(self, sessions: int = 1, connections: int = 3, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sessions, serial=True, connections=connections, **options)
        self.run(30)
        assert self.pool.all_ready()

    def put(self, *numbers: int, session: int = 0) -> None:
        self.pool.send(session, numbers, [REQUEST % number for number in numbers])

    def busy(self) -> dict[int, Peer]:
        """Number and connection of every request that left and waits for its answer."""
        found = {}
        for peer in self.peers():
            requests = peer.outbound.split(b"GET /")[1:]
            assert len(requests) <= 1, "two requests at a time"
            if requests:
                found[int(requests[0].split(b" ")[0])] = peer
        return found

    def answer(self, number: int, more: bytes = b"", *, length: bool = True, end: bool = False) -> None:
        peer = self.busy()[number]
        peer.outbound.clear()
        size = b"Content-Length: 2\r\n" if length else b""
        peer.inbound += b"HTTP/1.1 200 Yes\r\n" + size + more + b"\r\nok"
        peer.ended = end
