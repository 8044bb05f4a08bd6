"""A log, a clock and a gateway for engines without a network."""

from pathlib import Path
from typing import Any

import orjson

from sandbox.exchange.commands import Result
from sandbox.exchange.engine_core import Core
from sandbox.exchange.engine_early import EarlyLeader
from sandbox.exchange.engine_entries import Entry
from sandbox.exchange.engine_follow import Follower
from sandbox.exchange.engine_lead import Leader, UnfencedLeader
from sandbox.exchange.engine_metrics import EngineMetrics
from sandbox.exchange.engine_replica import Replica
from sandbox.exchange.leadership import Leadership
from sandbox.exchange.orderlog import LogUnavailable, OrderLog, Page, WrongLast
from sandbox.exchange.plants import Plants
from sandbox.truth.log import TruthLog

LEASE_S = 1.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeLog(OrderLog):
    """A log in memory. `faults` tells of the next appends: "lost" or "unanswered"; `unreadable` counts reads that fail.

    `proposed` entries are counted by the compare-and-set and cannot be read, as on a bus without a quorum.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__([], "fake")
        self.clock = clock
        self.entries: list[bytes] = []
        self.faults: list[str] = []
        self.unreadable = 0
        self.proposed = 0
        self.is_mirror = False

    async def append(self, payload: bytes, expected: int | None, timeout_s: float) -> int:
        fault = self.faults.pop(0) if self.faults else ""
        if expected is not None and expected != len(self.entries) + self.proposed:
            raise WrongLast(len(self.entries) + self.proposed)
        if fault != "lost":
            self.entries.append(payload)
        if fault:
            self.clock.now += timeout_s
            raise LogUnavailable(fault)
        return len(self.entries)

    async def read(self, first: int, timeout_s: float) -> Page:
        if self.unreadable:
            self.unreadable -= 1
            self.clock.now += timeout_s
            raise LogUnavailable("unreadable")
        self.clock.now += 0.001
        return Page([(n, self.entries[n - 1]) for n in range(first, len(self.entries) + 1)], more=False)

    async def takes_entries(self, timeout_s: float) -> bool:
        return not self.is_mirror

    def decoded(self) -> list[Entry]:
        return [Entry.decode(payload) for payload in self.entries]


class FakeLink:
    """Keeps everything an engine answers."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Result]] = []
        self.answers: list[tuple[int, dict[str, Any] | None]] = []
        self.returned: list[int] = []
        self.statuses: list[dict[str, Any]] = []

    def reply(self, rid: int, result: Result) -> None:
        self.replies.append((rid, result))

    def answer(self, rid: int, status: dict[str, Any] | None) -> None:
        self.answers.append((rid, status))

    def cannot_answer(self, rid: int) -> None:
        self.returned.append(rid)

    def send_status(self, status: dict[str, Any]) -> None:
        self.statuses.append(status)

    @property
    def codes(self) -> list[int]:
        return [result.code for _, result in self.replies]


class FakeEngine:
    """An engine on a fake log; several may share one."""

    def __init__(self, folder: Path, log: FakeLog, name: str = "engine-0", plants: Plants | None = None) -> None:
        plants = plants or Plants()
        self.clock, self.log, self.link = log.clock, log, FakeLink()
        self.truth_path = folder / f"{name}.ndjson"
        self.core = Core(
            name=name,
            zone="tyo-a",
            log=log,
            truth=TruthLog(self.truth_path),
            replica=Replica(plants.forget_ids),
            leadership=Leadership(name, LEASE_S, name == "engine-0", log.clock.now),
            plants=plants,
            metrics=EngineMetrics(),
            clock=log.clock,
        )
        self.follower = Follower(self.core)
        kind = EarlyLeader if plants.early_reply else UnfencedLeader if plants.no_fence else Leader
        self.leader = kind(self.core, self.follower)
        self.core.links.add(self.link)

    async def lead_now(self) -> None:
        """Let the lease of whoever led pass, and claim."""
        self.core.leadership.caught_up(self.clock.now)
        await self.follower.read_page()
        self.clock.now += 2.5 * LEASE_S
        await self.follower.follow()

    async def write(self) -> None:
        """One turn of the leader's loop, without its waiting."""
        await self.leader.write(*self.leader.take())

    def place(self, *numbers: int) -> None:
        self.core.submit(self.link, [place_row(n) for n in numbers])

    def truth(self, event: str) -> list[dict[str, Any]]:
        records = [orjson.loads(line) for line in self.truth_path.read_bytes().splitlines()]
        return [record for record in records if record["e"] == event]


def place_row(n: int) -> list[Any]:
    """The wire row of order `n`; its rid is `n`."""
    row: list[Any] = [n, 1, "place", "acct-1", f"op-{n}", "BTCUSDT", "Buy", "Limit", "GTC"]
    return [*row, 10**8, 10**8, f"op-{n}", None]
