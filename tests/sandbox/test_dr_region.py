"""The second region: its mirror follows, it takes over when the first is lost, and a fence keeps the first one quiet.

One sandbox for all tests; each leaves it as it found it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadgen.venues.sandbox import Sandbox
from sandbox import streams
from sandbox.links import WAN_MS
from tests.sandbox.box import TestBox, dialled, exchange, switch
from tests.sandbox.box import until as until_in_time
from tests.sandbox.engine_traffic import Traffic

pytestmark = pytest.mark.sandbox

TYO, SGP = ("engine-0", "engine-1"), ("sgp-engine-0", "sgp-engine-1")
RATE = 500


class Regions:
    """What the tests do to a sandbox of two regions."""

    def __init__(self, box: TestBox) -> None:
        self.box = box
        self.described = box.describe()
        self.rows = {row["name"]: row for row in self.described["instances"]}

    def bus(self, region: str) -> list[str]:
        rows = [row for row in self.rows.values() if (row["service"], row["region"]) == ("order-bus", region)]
        return [f"{row['host']}:{row['ports']['client']}" for row in rows]

    def status(self, engine: str) -> dict[str, Any]:
        try:
            return dict(self.box.call("GET", "/status", base=self.rows[engine]["http"])[1])
        except OSError:
            return {}

    def leader(self, engines: tuple[str, ...]) -> str | None:
        return next((name for name in engines if self.status(name).get("role") == "primary"), None)

    def admin(self, engines: tuple[str, ...], act: str) -> list[dict[str, Any]]:
        answers = [self.box.call("POST", f"/admin/{act}", base=self.rows[name]["http"]) for name in engines]
        assert {code for code, _ in answers} == {200}
        return [dict(status) for _, status in answers]

    def wan(self, enabled: bool) -> None:
        for link in self.described["links"]:
            if link["group"] == "wan":
                switch(self.box, self.described, link["name"], enabled)

    def power(self, on: bool) -> None:
        for node in self.described["nodes"]:
            if node["region"] == "tyo":
                assert self.box.call("POST", f"/nodes/{node['name']}/{'on' if on else 'off'}")[0] == 200

    def traffic(self, engines: tuple[str, ...], prefix: str, rate: int = RATE) -> Traffic:
        rows = [self.rows[name] for name in engines]
        orders = {row["name"]: row["ports"]["orders"] for row in rows}
        return Traffic(orders, rate, prefix, {row["name"]: row["host"] for row in rows})

    def trades(self, engines: tuple[str, ...], prefix: str, count: int = 100) -> None:
        """Wait until so many orders sent to these engines are acknowledged."""
        with self.traffic(engines, prefix, 200) as traffic:
            until(lambda: len(traffic.ok()) >= count, 20)

    def leads(self, engines: tuple[str, ...], seconds: float = 30) -> str:
        """Wait until one of these engines leads."""
        return until(lambda: self.leader(engines), seconds) or ""

    def restart(self, engines: tuple[str, ...]) -> None:
        for name in engines:
            self.box.act(name, "kill")

    def together(self, seconds: float = 30) -> None:
        """Wait until every engine of both regions has applied the same."""
        shown = ("applied_seq", "hash", "epoch")
        until(lambda: len({tuple(self.status(name).get(key) for key in shown) for name in (*TYO, *SGP)}) == 1, seconds)

    def truth(self, *engines: str) -> list[dict[str, Any]]:
        files = [Path(self.described["truth_dir"]) / f"{name}.ndjson" for name in engines]
        rows = [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]
        return sorted(rows, key=lambda row: int(row["t_ns"]))


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    with exchange(tmp_path_factory.mktemp("dr"), "--dr") as box:
        yield Regions(box)


def until[T](ask: Callable[[], T], timeout_s: float = 20) -> T:
    """Fifteen processes on a busy machine take their time."""
    return until_in_time(ask, timeout_s)


async def patiently[T](ask: Awaitable[T]) -> T:
    async with asyncio.timeout(streams.ATTEMPT_S):
        return await ask


def demote(regions: Regions, region: str, name: str, of: str, domain: str) -> None:
    """As soon as the bus of the region is able to."""

    def done() -> bool:
        try:
            asyncio.run(patiently(streams.demote(regions.bus(region), name, of, domain)))
        except streams.TROUBLE:
            return False
        return True

    until(done, 20)


def test_the_second_region_follows_over_the_wan_and_by_no_other_way(regions: Regions) -> None:
    described = regions.described
    assert described["features"] == ["sgp"]
    assert set(described["venue"]["regions"]) == {"tyo", "sgp"}
    assert described["venue"]["plain"]["rest"] == described["venue"]["regions"]["tyo"]["rest"]
    regions.trades(TYO, "follow")
    regions.together()
    assert [regions.status(name)["role"] for name in SGP] == ["standby"] * 2
    connections = dialled(regions.box, described)
    across = {(who, what) for who, what in connections if who.startswith("sgp-") and not what.startswith("sgp-")}
    assert across == set()
    wan = {link["name"] for link in described["links"] if link["group"] == "wan"}
    assert len({what for who, what in connections if what in wan}) == 3  # each node of sgp by one link


def test_the_latency_of_the_wan_outlives_toxiproxy(regions: Regions) -> None:
    def shown() -> dict[str, Any]:
        proxies = regions.box.call("GET", "/proxies", base=regions.described["toxiproxy"])[1]
        return {
            name: (proxy["enabled"], sorted((t["name"], t["attributes"]["latency"]) for t in proxy["toxics"]))
            for name, proxy in proxies.items()
        }

    before = shown()
    slow = [name for name, (_, toxics) in before.items() if toxics]
    assert sorted(slow) == sorted(link["name"] for link in regions.described["links"] if link["group"] == "wan")
    assert before[slow[0]] == (True, [("wan-latency-downstream", WAN_MS), ("wan-latency-upstream", WAN_MS)])
    regions.box.act("toxiproxy", "kill")
    until(lambda: regions.box.view("toxiproxy")["ready"])
    assert shown() == before
    regions.trades(TYO, "after-proxy")
    regions.together()


def test_a_leader_that_resigns_is_followed_at_once(regions: Regions) -> None:
    first = regions.leads(TYO)
    with regions.traffic(TYO, "resign") as traffic:
        until(lambda: len(traffic.ok()) > 100)
        assert regions.admin((first,), "resign")[0]["role"] == "standby"
        second = regions.leads(TYO)
        answered = len(traffic.ok())
        until(lambda: len(traffic.ok()) > answered + 100)
    assert second != first
    assert {op.code for op in traffic.ops} <= {0, 10016}  # nothing is in doubt
    gone, leads = (
        [row for row in regions.truth(who) if row["e"] == what][-1]["t_ns"]
        for who, what in ((first, "stepdown"), (second, "lead"))
    )
    assert (leads - gone) / 1e9 < 0.5  # a lease is 1 s
    assert regions.admin((first,), "resign")[0]["role"] == "standby"  # it may be repeated
    regions.together()


def test_a_fenced_engine_refuses_to_lead(regions: Regions) -> None:
    with regions.traffic(TYO, "fence", 200) as traffic:
        until(lambda: len(traffic.ok()) > 50)
        assert [status["fenced"] for status in regions.admin(TYO, "fence")] == [True, True]
        answered = len(traffic.ok())
        regions.restart(TYO)  # kill -9
        until(lambda: [regions.status(name).get("role") for name in TYO] == ["standby"] * 2)
        time.sleep(2.5)  # two leases: somebody would lead by now
        assert regions.leader(TYO) is None
        assert [regions.status(name)["fenced"] for name in TYO] == [True, True]
    assert len(traffic.ok()) == answered
    assert [status["fenced"] for status in regions.admin(TYO, "unfence")] == [False, False]
    regions.leads(TYO)
    regions.together()


def test_a_region_is_lost_another_takes_over_and_the_way_back(regions: Regions) -> None:
    lost_seqs, cut_s = lose_tyo(regions)
    lead = take_over(regions)
    missing = [seq for seq in lost_seqs if seq > lead["seq"]]
    assert 1 <= len(missing) <= 3 * RATE * (WAN_MS / 1000 + cut_s) + 64  # rate times one way, on a busy machine
    assert lost_seqs[: -len(missing)][-1] == lead["seq"]  # the end of the log and nothing else
    split_brain(regions)
    come_back(regions)


def lose_tyo(regions: Regions) -> tuple[list[int], float]:
    """What tyo had acknowledged by the truth, and how many seconds lay between cut and kill."""
    regions.together()
    with regions.traffic(TYO, "lost") as traffic:
        until(lambda: len(traffic.ok()) > RATE)
        began = time.monotonic()
        regions.wan(enabled=False)
        answered = len(traffic.ok())
        until(lambda: len(traffic.ok()) > answered)  # cut first: what is acknowledged from here on is surely lost
        regions.power(on=False)
        cut_s = time.monotonic() - began
    batches = [row for row in regions.truth(*TYO) if row["e"] == "batch"]
    executed = sorted({seq for row in batches for seq in range(row["first"], row["last"] + 1)})
    assert {op.seq for op in traffic.ok()} <= set(executed)
    return executed, cut_s


def take_over(regions: Regions) -> dict[str, Any]:
    """Promote the mirror; the `lead` record of the engine of sgp that leads then."""
    epoch = regions.status(SGP[0])["epoch"]
    time.sleep(1.2)  # a lease: they would lead now if they could
    assert regions.leader(SGP) is None
    for _ in range(2):  # it may be repeated
        asyncio.run(patiently(streams.promote(regions.bus("sgp"))))
    leader = regions.leads(SGP)
    lead: dict[str, Any] = next(row for row in reversed(regions.truth(leader)) if row["e"] == "lead")
    assert lead["epoch"] == epoch + 1
    venue = {**regions.described["venue"], **regions.described["venue"]["regions"]["sgp"]}
    until(lambda: regions.box.call("GET", "/status", base=venue["rest"][0])[1]["leader"])
    assert Sandbox().place_canaries(venue, 4).ok == 4
    return lead


def split_brain(regions: Regions) -> None:
    """What was lost comes back and knows nothing: it acknowledges again, until it is fenced."""
    regions.power(on=True)
    regions.leads(TYO)
    regions.trades(TYO, "zombie")
    regions.trades(SGP, "promoted")
    with regions.traffic(TYO, "fenced") as traffic:
        until(lambda: traffic.ok())
        regions.admin(TYO, "fence")
        answered = len(traffic.ok())
        time.sleep(1.5)  # more than a lease
    assert len(traffic.ok()) == answered
    assert regions.leader(TYO) is None
    regions.wan(enabled=True)
    regions.trades(SGP, "healed")  # healing merges nothing
    assert regions.status(TYO[0])["hash"] != regions.status(SGP[0])["hash"]


def come_back(regions: Regions) -> None:
    """tyo mirrors sgp, then takes the orders again, and sgp mirrors tyo as in the beginning."""
    demote(regions, "tyo", "ORD", of="ORDDR", domain="sgp")
    regions.restart(TYO)  # what they hold was thrown away
    regions.together()
    regions.admin(SGP, "fence")
    end = asyncio.run(patiently(streams.last_sequence(regions.bus("sgp"), "ORDDR")))
    until(lambda: asyncio.run(patiently(streams.last_sequence(regions.bus("tyo"), "ORD"))) == end)
    regions.admin(TYO, "unfence")
    asyncio.run(patiently(streams.promote(regions.bus("tyo"), "ORD")))
    regions.leads(TYO)
    demote(regions, "sgp", "ORDDR", of="ORD", domain="tyo")
    regions.restart(SGP)
    until(lambda: all(regions.status(name) for name in SGP))
    regions.admin(SGP, "unfence")
    regions.trades(TYO, "home")
    regions.together()
    assert [regions.status(name)["fenced"] for name in (*TYO, *SGP)] == [False] * 4
