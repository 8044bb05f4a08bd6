"""One connection of one session."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from socket import socket as Socket

from loadgen.engine.tls import Tls
from loadgen.venues.wire import Conversation


class State(Enum):
    """How far a connection is."""

    IDLE = "closed"
    RESOLVING = "looking up its name"
    CONNECTING = "connecting"
    GREETING = "signing in"
    READY = "ready"


@dataclass(slots=True, eq=False)
class Line:
    """A connection, its place among the venue's endpoints, and its times in ns."""

    session: int
    endpoint: int
    turn: int = 0  # grows with every connection: which endpoint, and which of its addresses, is next
    state: State = State.IDLE
    socket: Socket | None = None
    tls: Tls | None = None
    conversation: Conversation | None = None
    due_ns: int = 0  # closed: when to open; opening: when to give up
    heard_ns: int = 0
    pinged_ns: int = 0
    ready_ns: int = 0
    useful: bool = False  # it has carried an answer
    out: bytearray = field(default_factory=bytearray)

    def opened(self, sock: Socket, due_ns: int, now_ns: int) -> None:
        """Begin anew on a socket that is connecting."""
        self.socket, self.state, self.out = sock, State.CONNECTING, bytearray()
        self.tls = self.conversation = None
        self.due_ns, self.heard_ns, self.useful = due_ns, now_ns, False
