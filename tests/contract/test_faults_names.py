"""What the faults on names and certificates promise beyond the one suite of all faults."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from chaoslib_ext import planes
from chaoslib_ext.certificates import EXPIRED, VALID, look
from chaoslib_ext.faults.base import build
from chaoslib_ext.guardian import verbs
from chaoslib_ext.guardian.play import Player, by_hand
from chaoslib_ext.resolver import Records
from chaoslib_ext.world import World
from drills.errors import ComponentError, FaultError, Refused, UsageError
from drills.ledger import Ledger, State
from tests.contract.injecting import inject
from tests.realnames import API, RealResolver, exchange_with_certificates, resolver
from tests.standins import exchange, until

RUN = "20260101T000000Z-test"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealResolver, World]]:
    with exchange() as made, resolver(tmp_path_factory.mktemp("resolver")) as real:
        yield real, World.from_describe({**made.describe(), "dns": real.described}).tagged(RUN, "f1")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with exchange_with_certificates(tmp_path_factory.mktemp("gateway")) as described:
        yield World.from_describe(described).tagged(RUN, "f1")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", RUN)


def undone(ledger: Ledger) -> list[str]:
    entry = Player(ledger).undo(ledger.book.open(), "test")[0]
    assert entry.state is State.VERIFIED
    return Player(ledger).look(entry)


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "rcode"), [("servfail", dns.rcode.SERVFAIL), ("nxdomain", dns.rcode.NXDOMAIN), ("timeout", None)]
)
def test_every_way_to_fail_is_seen_by_a_stranger(
    names: tuple[RealResolver, World], ledger: Ledger, mode: str, rcode: int | None
) -> None:
    real, world = names
    inject(build("dns.fail", {"mode": mode}), world, ledger)
    query = dns.message.make_query(API, "A")
    if rcode is None:
        with pytest.raises(dns.exception.Timeout):
            dns.query.udp(query, "127.0.0.1", 0.2, real.dns)
    else:
        assert dns.query.udp(query, "127.0.0.1", 2, real.dns).rcode() == rcode
        assert dns.query.tcp(query, "127.0.0.1", 2, real.dns).rcode() == rcode
    undone(ledger)
    assert len(dns.query.tcp(query, "127.0.0.1", 2, real.dns).answer[0]) == 2


def test_what_is_switched_is_not_seen_while_answers_are_stale_and_at_once_after(
    names: tuple[RealResolver, World], ledger: Ledger
) -> None:
    _, world = names
    records = Records.of(world.describe)
    inject(build("dns.stale", {"name": API}), world, ledger)
    before = records.put(API, ["127.0.0.7"], ttl=60)
    try:
        assert not records.leads_to(API, ["127.0.0.7"])
        assert records.leads_to(API, ["127.0.0.1", "127.0.0.2"])
        found = records.observe(API)
        assert found is not None
        assert found.ttl == 5
        undone(ledger)
        assert records.leads_to(API, ["127.0.0.7"])
    finally:
        records.restore(API, before)
    assert records.leads_to(API, ["127.0.0.1", "127.0.0.2"])


def test_a_name_that_fails_already_would_prove_nothing(names: tuple[RealResolver, World], ledger: Ledger) -> None:
    _, world = names
    inject(build("dns.fail", {"name": API}), world, ledger)
    other = build("dns.stale", {"name": API})
    with pytest.raises(FaultError, match="is answered SERVFAIL already; nothing was touched"):
        other.plan_undo(other.targets(world), world)
    undone(ledger)


def test_a_resolver_that_is_started_again_has_its_records_and_no_fault(
    names: tuple[RealResolver, World], ledger: Ledger
) -> None:
    real, world = names
    records = Records.of(world.describe)
    before = records.put(API, ["127.0.0.5"], ttl=1)
    inject(build("dns.fail", {"name": API}), world, ledger)
    real.restart()
    until(lambda: records.leads_to(API, ["127.0.0.5"]))
    assert undone(ledger) == [f"the resolver at {real.admin} has no fault {world.tag}"]
    records.restore(API, before)


def test_a_resolver_that_has_ended_takes_its_fault_with_it(tmp_path: Path, ledger: Ledger) -> None:
    with exchange() as made, resolver(tmp_path) as real:
        world = World.from_describe({**made.describe(), "dns": real.described}).tagged(RUN, "f1")
        inject(build("dns.fail", {"mode": "timeout"}), world, ledger)
        real.close()
        assert planes.snapshot(world)["dns: resolver"].endswith("(connection refused)")
        assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
        assert "what it held is gone with it" in ledger.path.read_text()
        with pytest.raises(ComponentError, match=f"resolver: nothing listens at 127.0.0.1:{real.dns}"):
            Records.of(world.describe).observe(API)


def test_a_switched_record_is_put_back_from_its_recipe(names: tuple[RealResolver, World]) -> None:
    _, world = names
    records = Records.of(world.describe)
    for name in (API, "new.exchange.test"):
        before = records.put(name, ["127.0.0.8"], weights=[1])
        args = {"admin": records.admin, "name": name, "record": before}
        verb = verbs.find("dns.restore_record")
        with pytest.raises(verbs.NotUndone, match=rf"record {name} is .*127\.0\.0\.8"):
            verb.observe(args)
        subprocess.run(by_hand({"verb": "dns.restore_record", "args": args}), shell=True, check=True, timeout=10)
        assert verb.observe(args)
        verb.undo(args)
        assert verb.observe(args)
        assert records.get(name) == before


def test_what_the_resolver_refuses_is_told_in_one_line(names: tuple[RealResolver, World]) -> None:
    records = Records.of(names[1].describe)
    with pytest.raises(ComponentError, match=r"^resolver: PUT .* answered 400: records: .*'127\.0\.0\.256'"):
        records.put(API, ["127.0.0.256"])
    with pytest.raises(Refused, match="there is no resolver here"):
        Records.of({"dns": None})


# -- certificates ----------------------------------------------------------------------------------------------------


def connected(world: World) -> ssl.SSLSocket:
    host, _, port = world.instance("gateway-0").address("https").rpartition(":")
    context = ssl.create_default_context(cafile=world.describe["tls"]["ca"])
    return context.wrap_socket(socket.create_connection((host, int(port)), 5), server_hostname=API)


def told(sock: ssl.SSLSocket, name: str) -> float:
    """A figure of the gateway's metrics, over a connection that stays open."""
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    text = b""
    while b"exchange_certificate_refused 0" not in text:
        more = sock.recv(65536)
        assert more, "hung up"
        text += more
    return float(next(line for line in text.decode().splitlines() if line.startswith(f"{name} ")).split()[1])


def test_who_is_connected_stays_so_while_the_certificate_expires_and_comes_back(gateway: World, ledger: Ledger) -> None:
    file = Path(gateway.describe["tls"]["certificates"]["gateway-0"]["file"])
    former = file.read_bytes()
    with connected(gateway) as sock:
        assert told(sock, "exchange_certificate_expires_seconds") > 86_400
        inject(build("tls.expire", {"instance": "gateway-0"}), gateway, ledger)
        assert told(sock, "exchange_certificate_expires_seconds") < -80_000
        assert file.read_bytes() != former
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            connected(gateway)
        undone(ledger)
        assert told(sock, "exchange_certificate_expires_seconds") > 86_400
        assert told(sock, "exchange_certificate_reloads") >= 2
    assert file.read_bytes() == former
    connected(gateway).close()
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "ca.key",
        "ca.pem",
        "gateway-0.key",
        "gateway-0.pem",
    ]


def test_a_kill_in_the_middle_of_replacing_leaves_what_can_be_undone(gateway: World, ledger: Ledger) -> None:
    fault = build("tls.expire", {"instance": "gateway-0"})
    targets = fault.targets(gateway)
    recipes = fault.plan_undo(targets, gateway)
    ledger.write("intent", fault_id="f1", fault=fault.name, recipes=recipes)
    file = Path(gateway.describe["tls"]["certificates"]["gateway-0"]["file"])
    before = planes.snapshot(gateway)
    Path(f"{file}.{gateway.tag}.part").write_bytes(b"half of it")
    undone(ledger)
    assert planes.snapshot(gateway) == before
    Path(f"{file}.{gateway.tag}").write_bytes(file.read_bytes())
    Path(f"{file}.{gateway.tag}.new").write_bytes(b"half of it")
    Player(ledger).undo(ledger.book.entries, "again")
    assert planes.snapshot(gateway) == before


def test_a_certificate_that_cannot_be_used_is_not_taken(gateway: World, ledger: Ledger) -> None:
    file = Path(gateway.describe["tls"]["certificates"]["gateway-0"]["file"])
    former = file.read_bytes()
    try:
        file.write_bytes(b"no certificate")
        until(lambda: look(gateway.instance("gateway-0").address("wss"), gateway.describe["tls"]["ca"]) == VALID)
    finally:
        file.write_bytes(former)
    fault = build("tls.expire", {"service": "gateway"})
    elsewhere = World.from_describe(
        {**gateway.describe, "tls": {**gateway.describe["tls"], "ca_key": "/nowhere"}}
    ).tagged(RUN, "f1")
    with pytest.raises(FaultError, match="is not to be had; nothing was touched"):
        fault.plan_undo(fault.targets(elsewhere), elsewhere)


def test_a_certificate_that_is_over_already_would_prove_nothing(gateway: World, ledger: Ledger) -> None:
    inject(build("tls.expire", {"service": "gateway"}), gateway, ledger)
    assert look(gateway.instance("gateway-0").address("wss"), gateway.describe["tls"]["ca"]) == EXPIRED
    again = build("tls.expire", {"service": "gateway"})
    with pytest.raises(FaultError, match="is expired, expired; nothing was touched"):
        again.plan_undo(again.targets(gateway), gateway)
    undone(ledger)


@pytest.mark.parametrize("params", [{}, {"service": "gateway", "instance": "gateway-0"}])
def test_certificates_are_named_in_one_way(params: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give either service or instance"):
        build("tls.expire", params)


def test_a_copy_that_was_changed_is_never_put_back(gateway: World, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"something else")
    args = {"instance": "g", "file": str(tmp_path / "file"), "kept": str(kept), "sha256": "0" * 64}
    with pytest.raises(verbs.NotUndone, match="is not the former certificate of g"):
        verbs.find("tls.restore").undo({**args, "ca": gateway.describe["tls"]["ca"], "addresses": []})
    assert not os.path.exists(args["file"])
