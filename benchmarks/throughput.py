"""Messages a second and core: our load process, as users run it, and stock Locust, on the same stub.

Counted for both sides: messages that the stub answered. Ours are divided by all CPU seconds (user and system, every
thread) of the load process from its first due operation to its end: rendering, sending, reading, statistics of Locust,
live lines, witness on disk, and the drain. A peer's are divided by its CPU seconds between two instants in the midst of
its run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import locusts
from benchmarks.play import load
from benchmarks.results import Figure
from benchmarks.stub.venue import Stub, cores, pinned, stub
from loadgen import trace

TRACE = "linear-perp-1m"
PEER_S = 4.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Stock Locust users: what they are called, their file, and whether they are tuned."""

    name: str
    user: str
    tuned: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the stub: the venue's type, what is offered (above what a core can do), and who stands beside it."""

    name: str
    venue: str
    offered: float  # operations a second
    operations: int
    peers: tuple[Peer, ...] = ()
    transport: str | None = None  # of venues that have several
    connections: int = 1  # of a session at most
    copies: int = 1  # of the recording; they share its number of sessions


HTTP = Peer("stock Locust, FastHttpUser", "http_user")
HTTP_TUNED = Peer("tuned Locust, FastHttpUser", "http_user", tuned=True)
WS = Peer("stock Locust, WebSocket user", "ws_user")
WS_TUNED = Peer("tuned Locust, WebSocket user", "ws_user", tuned=True)

SIDES = (
    Side("ws-json", "sandbox", 600_000, 1_800_000, (WS, HTTP, WS_TUNED)),
    Side("binary", "sandbox-binary", 2_000_000, 6_000_000, copies=2),
    Side("rest", "sandbox", 25_000, 100_000, (HTTP, HTTP_TUNED), transport="rest", connections=4),
)


@dataclass(frozen=True, slots=True)
class Ours:
    """One load of ours: messages that the stub answered, CPU seconds of the load process, of the stub, and seconds."""

    messages: int
    cpu_s: float
    stub_cpu_s: float
    seconds: float

    @property
    def per_core(self) -> float:
        """Messages a second and core."""
        return self.messages / self.cpu_s

    def __str__(self) -> str:
        at, stub_share = self.messages / self.seconds, self.stub_cpu_s / self.seconds
        return f"{self.per_core:,.0f}/s/core, at {at:,.0f}/s; the stub uses {stub_share:.0%} of its core"


def ours(target: Stub, side: Side, folder: Path) -> Ours:
    """Play the bundled recording, sped up; raises SystemExit where not everything was answered with ok."""
    recorded = trace.read(TRACE)
    before, spent = target.answered(), target.cpu_s()
    with pinned(cores().generator):
        done = load(
            target.venue(side.venue, folder, side.transport),
            folder,
            TRACE,
            side.operations / side.offered,
            speed=side.offered / side.copies / recorded.rate,
            amplify=side.copies,
            sessions=recorded.sessions // side.copies,
            connections=side.connections,
        )
    messages = target.answered() - before
    flows = done.last["flows"].values()
    counts = {name: sum(flow[name] for flow in flows) for name in ("scheduled", "sent", "ok")}
    if set(counts.values()) != {messages}:
        raise SystemExit(f"{side.name}: {counts}, and the stub answered {messages}: not all went well, nothing counts")
    return Ours(messages, done.cpu_s, target.cpu_s() - spent, done.running_s)


def users(side: Side) -> int:
    """Connections of ours at most, and users of a peer."""
    return trace.read(TRACE).sessions * side.connections


def measure(side: Side, folder: Path, runs: int, say: Callable[[str], None]) -> list[Figure]:
    """Medians of `runs` runs, ours and the peers' turn about on one stub."""
    mine: list[Ours] = []
    theirs: dict[Peer, list[float]] = {peer: [] for peer in side.peers}
    with stub(folder) as target:
        for number in range(runs):
            mine.append(ours(target, side, folder))
            for peer, rates in theirs.items():
                rates.append(locusts.per_core(target, peer.user, folder, users(side), PEER_S, tuned=peer.tuned))
            say(f"{side.name} {number + 1}/{runs}: {mine[-1]}")
            for peer, rates in theirs.items():
                say(f"    {peer.name} {rates[-1]:,.0f}/s/core")
    return figures(side, [run.per_core for run in mine], theirs)


def figures(side: Side, mine: list[float], theirs: dict[Peer, list[float]]) -> list[Figure]:
    """The median of ours beside that of the first peer, then beside each further one, and what each peer does."""
    value = statistics.median(mine)
    medians = {peer: statistics.median(rates) for peer, rates in theirs.items()}
    beside = [(peer.name, value / median) for peer, median in medians.items()]
    name, ratio = beside[0] if beside else (None, None)
    return [
        Figure(side.name, value, "1/s/core", name, ratio),
        *(Figure(f"{side.name} beside {name}", value, "1/s/core", name, ratio) for name, ratio in beside[1:]),
        *(Figure(f"{side.name}: {peer.name}", median, "1/s/core") for peer, median in medians.items()),
    ]
