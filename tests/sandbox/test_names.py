"""Names and certificates on the whole sandbox: clients follow a name, and faults on both leave nothing behind."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from chaoslib_ext.certificates import EXPIRED, VALID, look
from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.resolver import Records
from chaoslib_ext.world import World
from drills.evidence import RunDir
from drills.ledger import Ledger, State
from loadgen import launch, venues, witness
from loadgen.config import LoadConfig
from loadgen.venues.named import by_name
from tests.contract.injecting import inject
from tests.sandbox.box import TestBox, exchange, until

pytestmark = pytest.mark.sandbox
API, RUN = "api.exchange.test", "20260101T000000Z-test"
GATEWAYS = ("gateway-0", "gateway-1")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    with exchange(tmp_path_factory.mktemp("box")) as made:
        yield made


@pytest.fixture(scope="module")
def world(box: TestBox) -> World:
    return World.from_describe(box.describe()).tagged(RUN, "f1")


def test_every_instance_has_a_name_and_the_api_leads_to_all_gateways(world: World) -> None:
    records = Records.of(world.describe)
    hosts = {one.name: one.host for one in world.instances}
    assert records.leads_to(API, [hosts[name] for name in GATEWAYS])
    assert records.leads_to(f"tyo.{API}", [hosts[name] for name in GATEWAYS])
    assert all(records.leads_to(f"{name}.exchange.test", [host]) for name, host in hosts.items())
    ports = [world.instance(name).ports for name in GATEWAYS]
    assert all(ports[0][port] == ports[1][port] for port in ("https", "wss"))


def test_every_gateway_proves_that_it_is_the_api(world: World) -> None:
    context = ssl.create_default_context(cafile=world.describe["tls"]["ca"])
    for name in GATEWAYS:
        one = world.instance(name)
        for asked in (API, f"tyo.{API}", f"{name}.exchange.test", one.host):
            with socket.create_connection((one.host, one.ports["https"]), 5) as plain:
                context.wrap_socket(plain, server_hostname=asked).close()
    assert venues.get("sandbox").place_canaries(by_name(world.describe["venue"]), 4).ok == 4


def test_a_restarted_resolver_and_gateway_come_back_with_what_they_had(box: TestBox, world: World) -> None:
    records = Records.of(world.describe)
    former = records.put(API, [world.instance("gateway-1").host], ttl=1)
    pid = box.view("resolver")["pid"]
    box.act("resolver", "kill", {"signal": "KILL"})
    until(lambda: box.view("resolver")["ready"] and box.view("resolver")["pid"] != pid, 20)
    assert records.leads_to(API, [world.instance("gateway-1").host])
    records.restore(API, former)
    box.act("gateway-0", "kill", {"signal": "KILL"})
    until(lambda: look(world.instance("gateway-0").address("wss"), world.describe["tls"]["ca"]) == VALID, 20)
    until(lambda: box.view("gateway-0")["ready"], 20)


def test_clients_of_a_dead_gateway_follow_the_name_and_an_expired_certificate_keeps_nobody_out_who_is_in(
    box: TestBox, world: World, tmp_path: Path
) -> None:
    """One load by name: the name moves to gateway-1, gateway-0 dies, the certificate of the other expires."""
    records, hosts = Records.of(world.describe), [world.instance(name).host for name in GATEWAYS]
    former = records.put(API, hosts, ttl=1)
    venue = by_name(world.describe["venue"])
    config = LoadConfig(
        run_id="run-1", run_dir=tmp_path / "run-1", trace="linear-perp-1m", speed=0.25, venue=venue, duration_s=8
    )
    path, run = config.save(), RunDir(config.run_dir)
    ledger = Ledger(tmp_path / "ledger.ndjson", RUN)
    load = subprocess.Popen(launch.command(path), env=launch.environment(path), stderr=subprocess.PIPE)
    try:
        until(lambda: _placed(run) > 100, 60)
        assert all(_connections(box, world, name) >= 8 for name in GATEWAYS)
        records.put(API, hosts[1:], ttl=1)
        placed = _placed(run)
        until(lambda: _placed(run) > placed + 250, 20)  # more than a second: what clients knew is no longer valid
        box.act("gateway-0", "kill", {"signal": "KILL", "hold": True})
        until(lambda: _connections(box, world, "gateway-1") >= 16, 10)
        inject(build("tls.expire", {"instance": "gateway-1"}), world, ledger)
        assert load.communicate(timeout=60)[1] == b""
        assert load.returncode == 0
        assert look(world.instance("gateway-1").address("https"), venue["ca_file"]) == EXPIRED
    finally:
        load.kill()
        load.communicate()
        Player(ledger).undo(ledger.book.open(), "test")
        box.act("gateway-0", "release")
        records.restore(API, former)
    rows = pq.read_table(witness.consolidate(run.path)).to_pylist()
    assert Counter(row["outcome"] for row in rows)["unknown"] == 0
    assert [entry.state for entry in ledger.book.entries] == [State.VERIFIED]
    until(lambda: box.view("gateway-0")["ready"], 20)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("dns.fail", {"name": API, "mode": "nxdomain"}),
        ("dns.fail", {"mode": "timeout"}),
        ("dns.stale", {}),
        ("tls.expire", {"service": "gateway"}),
    ],
    ids=lambda value: json.dumps(value).strip('"'),
)
def test_it_is_witnessed_and_undone_without_a_trace(
    name: str, params: dict[str, Any], world: World, tmp_path: Path
) -> None:
    before = world.snapshot()
    ledger = Ledger(tmp_path / "ledger.ndjson", RUN)
    assert inject(build(name, params), world, ledger).texts
    assert World.diff(before, world.snapshot()) != []
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []


def _placed(run: RunDir) -> int:
    lines = run.live.read_bytes().split(b"\n")[:-1] if run.live.exists() else []
    return int(orjson.loads(lines[-1])["flows"]["place"]["ok"]) if lines else 0


def _connections(box: TestBox, world: World, name: str) -> int:
    return int(box.call("GET", "/status", base=world.instance(name).http)[1]["connections"])
