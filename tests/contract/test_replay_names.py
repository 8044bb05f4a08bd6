"""A replay that dials by name, over TLS, through a real resolver: it follows the name, and survives the resolver."""

from __future__ import annotations

import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chaoslib_ext.resolver import Records
from loadgen import synth, trace, venues
from loadgen.config import LoadConfig
from loadgen.engine.replay import Replay
from loadgen.venues.named import by_name
from sandbox import certs
from tests.contract.fakevenue import FakeVenue
from tests.contract.test_venue_replay import configured, play
from tests.realnames import API, RealResolver, resolver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")
HOSTS = ("127.0.0.2", "127.0.0.3")


class NamedVenue(FakeVenue):
    """The fake venue with two encrypted gateways: one port, an address each, one name."""

    def __init__(self, folder: Path, names: RealResolver, *hosts: str) -> None:
        super().__init__(folder, gateways=2)
        self._ca = certs.write(folder / "tls", {"gateway": [API]})
        self._names = names
        Records.of({"dns": names.described}).put(API, hosts or HOSTS, ttl=1)

    async def _serve(self, app: web.Application) -> None:
        number = len(self.ports)
        if number >= 2:
            await super()._serve(app)
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._ca.with_name("gateway.pem"), self._ca.with_name("gateway.key"))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOSTS[number], self.ports[0] if number else 0, ssl_context=context).start()
        self._runners.append(runner)
        self.ports.append(runner.addresses[0][1])

    @property
    def venue(self) -> dict[str, Any]:
        named = {
            "ws": [f"wss://{API}:{self.ports[0]}/v5/trade"],
            "rest": [f"https://{API}:{self.ports[0]}"],
            "resolver": self._names.described["address"],
            "ca_file": str(self._ca),
        }
        return by_name({**super().venue, "named": named})


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(6, 200, 5), path)
    return path


@pytest.fixture
def names(tmp_path: Path) -> Iterator[RealResolver]:
    with resolver(tmp_path) as made:
        yield made


def test_clients_spread_over_a_name_and_follow_it_when_they_come_back(
    names: RealResolver, flow: Path, tmp_path: Path
) -> None:
    records = Records.of({"dns": names.described})
    with NamedVenue(tmp_path, names) as venue:
        seen: list[tuple[int, int]] = []

        def each(t: float, replay: Replay) -> None:
            executed = len(venue.executed())
            if not seen and executed > 20:
                seen.append((venue.connections(0), venue.connections(1)))
                records.put(API, HOSTS[1:], ttl=1)
            elif len(seen) == 1 and executed > 400:  # two seconds: the former answer is no longer valid
                seen.append((venue.connections(0), venue.connections(1)))
                venue.hang_up(0)
            elif len(seen) == 2 and executed > 600:
                seen.append((venue.connections(0), venue.connections(1)))

        rows = play(configured(venue, flow, tmp_path, duration_s=4.0), each)
        assert seen == [(8, 8), (8, 8), (0, 16)]
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
        assert venue.problems == []


@pytest.mark.parametrize("mode", ["servfail", "timeout"])
def test_a_failing_resolver_keeps_out_only_those_who_come_back(
    names: RealResolver, flow: Path, tmp_path: Path, mode: str
) -> None:
    records = Records.of({"dns": names.described})
    with NamedVenue(tmp_path, names) as venue:
        state: list[str] = []

        def each(t: float, replay: Replay) -> None:
            executed = len(venue.executed())
            if not state and executed > 20:
                records.begin("f1", mode, None)
                state.append("failing")
            elif state == ["failing"] and executed > 300:
                venue.hang_up(0)
                state.append(f"hung up at {time.monotonic()}")
            elif len(state) == 2 and time.monotonic() > float(state[1].split()[-1]) + 1.5:
                assert venue.connections(0) == 0
                assert venue.connections(1) == 8
                assert replay._pool is not None
                assert replay._pool.unresolved >= 8
                names.restart()  # and its fault is gone with it
                state.append("well")

        rows = play(configured(venue, flow, tmp_path, duration_s=4.0), each)
        assert state[2:] == ["well"]
        late = [row for row in rows if row["answered_ns"] - row["intended_ns"] > 1e9]
        assert 0 < len(late) < len(rows) / 2, "those who had lost their connection waited, no one else"
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}


def test_without_any_name_it_says_why(names: RealResolver, flow: Path, tmp_path: Path) -> None:
    with NamedVenue(tmp_path, names) as venue:
        names.close()
        replay = Replay(configured(venue, flow, tmp_path), lambda work: work())
        deadline = time.monotonic() + 20
        while replay.step():
            assert time.monotonic() < deadline
            assert replay._pool is not None
            if replay._pool.unresolved:
                replay._connect_until_ns = 0
            time.sleep(0.001)
        address = names.described["address"]
        assert replay.failure is not None
        assert replay.failure.endswith(f"{API}:{venue.ports[0]}: DNS: {address}: connection refused")


def test_over_rest_and_for_canaries_names_lead_to_the_same(names: RealResolver, flow: Path, tmp_path: Path) -> None:
    with NamedVenue(tmp_path, names, HOSTS[1]) as venue:
        config = configured(venue, flow, tmp_path, duration_s=0.5)
        over_rest = LoadConfig.model_validate({**config.model_dump(), "venue": {**venue.venue, "transport": "rest"}})
        rows = play(over_rest)
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
        found = venues.get("sandbox").place_canaries(venue.venue, 5)
        assert (found.ok, found.errors) == (5, ())
        Records.of({"dns": names.described}).begin("f1", "nxdomain", API)
        assert venues.get("sandbox").place_canaries(venue.venue, 2).errors == ("2 × no connection",)
