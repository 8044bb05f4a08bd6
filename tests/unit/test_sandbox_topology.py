"""Topology: ports, links, references, the order bus's configuration, and what is described of it all."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from sandbox import nats, ports, topology
from sandbox.cli_show import exports
from sandbox.errors import BadUse, Refused
from sandbox.home import Box
from sandbox.links import pairs, write_config
from sandbox.node.pods import Dial, Pod
from sandbox.node.resolve import Resolver
from sandbox.node.source import StaticPods
from sandbox.topology import Topology, describe, lay_out


@pytest.fixture(autouse=True)
def every_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket in a unit test: ports are free, and given from 20000 on."""
    monkeypatch.setattr(ports, "is_free", lambda *_: True)
    monkeypatch.setattr(topology, "is_free", lambda *_: True)
    monkeypatch.setattr("random.randrange", lambda _: 0)


@pytest.fixture
def exchange() -> Topology:
    return lay_out(StaticPods().pods())


def pod(name: str, service: str, dials: Sequence[Dial] = (), zone: str = "tyo-a", **more: dict[str, int]) -> Pod:
    return Pod(
        name,
        service,
        zone,
        "tyo",
        ("x",),
        {},
        more.get("ports", {}),
        more.get("pinned", {}),
        None,
        "Always",
        5,
        tuple(dials),
    )


def test_every_address_is_given_once(exchange: Topology) -> None:
    own = [(exchange.hosts[name], port) for name, named in exchange.ports.items() for port in named.values()]
    listened = [("127.0.0.1", int(link.listen.split(":")[1])) for link in exchange.links]
    given = [("127.0.0.1", exchange.agent_port), *own, *listened]
    assert len(given) == len(set(given))
    assert max(port for _, port in given) < ports.ceiling()


def test_pods_of_a_service_share_their_ports_on_hosts_of_their_own(exchange: Topology) -> None:
    assert exchange.ports["gateway-0"] == exchange.ports["gateway-1"]
    assert exchange.ports["nats-0"] == exchange.ports["nats-1"] == exchange.ports["nats-2"]
    own = [host for name, host in exchange.hosts.items() if name != "toxiproxy"]
    assert len(own) == len(set(own))
    assert exchange.hosts["toxiproxy"] == "127.0.0.1"
    assert exchange.hosts["gateway-1"] == "127.11.2.3"  # the first region, its second zone, the third pod there


def test_without_addresses_of_their_own_every_pod_has_its_own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    laid = lay_out(StaticPods().pods())
    own = [port for named in laid.ports.values() for port in named.values()]
    assert set(laid.hosts.values()) == {"127.0.0.1"}
    assert len(own) == len(set(own))


def test_one_link_per_ordered_pair_that_talks(exchange: Topology) -> None:
    engines, gateways, bus = ("engine-0", "engine-1"), ("gateway-0", "gateway-1"), ("nats-0", "nats-1", "nats-2")
    expected = {(f"{g}>{e}", "gateway-engine") for g in gateways for e in engines}
    expected |= {(f"{e}>{n}", "engine-bus") for e in engines for n in bus}
    expected |= {(f"{a}>{b}", "bus-bus") for a, b in itertools.permutations(bus, 2)}
    assert {(link.name, link.group) for link in exchange.links} == expected
    for link in exchange.links:
        host, port = link.upstream.split(":")
        assert host == exchange.hosts[link.target]
        assert int(port) in exchange.ports[link.target].values()


@pytest.fixture
def two_regions() -> Topology:
    return lay_out(StaticPods(features=["sgp"]).pods())


def test_the_second_region_reaches_the_first_by_the_wan_alone(two_regions: Topology) -> None:
    tyo = lay_out(StaticPods().pods())
    mine = {(link.name, link.group) for link in two_regions.links} - {(link.name, link.group) for link in tyo.links}
    bus = [f"nats-{n}" for n in range(3)]
    wan = {(f"sgp-{a}>{b}", "wan") for a in bus for b in bus}
    assert wan < mine
    for name, group in mine - wan:
        assert group.startswith("sgp-")
        assert all(end.startswith("sgp-") for end in name.split(">"))
    assert len({*two_regions.hosts.values()}) == 15


def test_each_region_has_doors_of_its_own(two_regions: Topology) -> None:
    shown = describe(two_regions, Box(Path("/box")), "id", {}, planted=False, features=["sgp"])
    venue = shown["venue"]
    assert shown["features"] == ["sgp"]
    assert list(venue["regions"]) == list(shown["regions"]) == ["tyo", "sgp"]
    for kind in ("rest", "ws", "binary"):
        assert venue[kind] == venue["regions"]["tyo"][kind]
        assert not set(venue[kind]) & set(venue["regions"]["sgp"][kind])
    assert venue["audit"] == venue["regions"]["tyo"]["audit"] + venue["regions"]["sgp"]["audit"]
    assert [node["name"] for node in shown["nodes"]] == [f"{region}-{z}" for region in ("sgp", "tyo") for z in "abc"]


def test_orders_never_cross_the_wan(two_regions: Topology, tmp_path: Path) -> None:
    shown = describe(two_regions, Box(Path("/box")), "id", {}, planted=False, features=["sgp"])
    for name in ("nats-0", "sgp-nats-0"):
        nats.write_config(shown, name, "x", tmp_path, Path("/s"))
    here, there = ((tmp_path / f"{name}.conf").read_text() for name in ("nats-0", "sgp-nats-0"))
    assert f"listen: {two_regions.hosts['nats-0']}:{two_regions.ports['nats-0']['leaf']}" in here
    assert here.count("no_advertise: true") == 2  # a region that dials in is told of no way round its links
    assert "remotes" not in here
    assert re.findall(r'"nats-leaf://([^"]+)"', there) == [
        link.listen for link in two_regions.links if link.source == "sgp-nats-0" and link.group == "wan"
    ]
    assert 'deny_imports: ["ord.>"], deny_exports: ["ord.>"]' in there
    assert "domain: sgp" in there


def test_the_wan_is_closed_until_it_is_slow(two_regions: Topology, tmp_path: Path) -> None:
    write_config(two_regions.links, tmp_path / "t.json")
    rows = {row["name"]: row["enabled"] for row in orjson.loads((tmp_path / "t.json").read_bytes())}
    assert {name for name, enabled in rows.items() if not enabled} == {
        link.name for link in two_regions.links if link.group == "wan"
    }


def test_a_dial_reaches_its_own_zone_first() -> None:
    pods = [pod("e", "engine", [Dial("bus", "bus", "c")], "tyo-b")]
    pods += [pod(f"n-{zone}", "bus", zone=f"tyo-{zone}", ports={"c": 1}) for zone in "abc"]
    assert [target.name for _, target, _, _ in pairs(pods)] == ["n-b", "n-a", "n-c"]


def test_a_dangling_dial_is_a_mistake() -> None:
    with pytest.raises(BadUse, match="e: muster/dials: no other pod of service 'bus' in tyo"):
        pairs([pod("e", "engine", [Dial("g", "bus", "client")])])
    with pytest.raises(BadUse, match="n has no port 'client'"):
        pairs([pod("e", "engine", [Dial("g", "bus", "client")]), pod("n", "bus")])


def test_a_pinned_port_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "is_free", lambda port, _: port != 4000)
    with pytest.raises(Refused, match=r"refused: web: port 4000 \(http\) is in use"):
        lay_out([pod("web", "web", ports={"http": 80}, pinned={"http": 4000})])


def test_too_few_free_ports_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda *_: False)
    with pytest.raises(Refused, match="only 0 of 2 loopback ports"):
        ports.allocate(2)


def test_toxiproxy_gets_every_link(exchange: Topology, tmp_path: Path) -> None:
    write_config(exchange.links, tmp_path / "t.json")
    rows = orjson.loads((tmp_path / "t.json").read_bytes())
    assert {row["name"]: row["upstream"] for row in rows} == {link.name: link.upstream for link in exchange.links}


def test_a_bus_node_knows_the_others_by_their_links_only(exchange: Topology, tmp_path: Path) -> None:
    shown = describe(exchange, Box(Path("/box")), "id", {}, planted=False)
    nats.write_config(shown, "nats-0", "tyo-c", tmp_path, Path("/s"))
    text = (tmp_path / "nats-0.conf").read_text()
    routes = re.findall(r'"nats://([^"]+)"', text)
    assert routes == [link.listen for link in exchange.links if link.source == "nats-0"]
    assert "no_advertise: true" in text
    assert 'advertise: "127.0.0.1:1"' in text
    assert 'unique_tag: "az"' in text
    assert 'server_tags: ["az:tyo-c"]' in text  # where it is started, wherever it was meant to be
    assert 'store_dir: "/s/nats-0"' in text
    for other in ("nats-1", "nats-2"):
        assert exchange.hosts[other] not in text


def resolver(exchange: Topology, root: Path, plant: str = "") -> Resolver:
    box = Box(root)
    described = describe(exchange, box, "id", {}, bool(plant))
    return Resolver(box, {"describe": described, "parts": {"nats-server": "/n", "toxiproxy": "/t"}}, plant)


def test_references_are_filled(exchange: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    runnable = {p.name: resolver(exchange, Path("/box"), "W01").runnable(p) for p in exchange.pods}
    own_zone = next(link for link in exchange.links if link.name == "engine-1>nats-1")
    engine, gateway = runnable["engine-1"].env, runnable["gateway-0"].env
    assert engine["MUSTER_NATS"].split(",")[0] == own_zone.listen
    assert engine["MUSTER_ORDERS_PORT"] == str(exchange.ports["engine-1"]["orders"])
    assert engine["MUSTER_PLANT"] == "W01"
    assert (engine["MUSTER_INSTANCE"], engine["MUSTER_ZONE"]) == ("engine-1", "tyo-b")
    assert (engine["MUSTER_HOST"], engine["MUSTER_PREFERRED"]) == (exchange.hosts["engine-1"], "0")
    assert runnable["engine-0"].env["MUSTER_PREFERRED"] == "1"
    assert engine["MUSTER_TRUTH"] == "/box/truth/engine-1.ndjson"
    assert gateway["MUSTER_ENGINES"] == ",".join(
        f"{link.target}={link.listen}" for link in exchange.links if link.source == "gateway-0"
    )
    assert gateway["MUSTER_SECRET_FILE"] == "/box/secret"
    assert runnable["nats-0"].argv == ("/n", "-a", "127.11.1.1", "-c", "/box/conf/nats-0.conf")
    assert "AWS_SECRET_ACCESS_KEY" not in engine


@pytest.mark.parametrize("text", ["${PORT:nope}", "${PART:nope}", "${LINKS:nope}", "${NOPE}"])
def test_a_dangling_reference_is_a_mistake(exchange: Topology, text: str) -> None:
    with pytest.raises(BadUse, match=re.escape(f"nats-0: {text} refers to nothing")):
        resolver(exchange, Path("/box")).fill(exchange.of_service("order-bus")[0], text)


def test_described_as_promised(exchange: Topology) -> None:
    shown = describe(exchange, Box(Path("/box")), "id", {"nats": "2.15.1"}, planted=True)
    assert shown["planted"] is True
    assert shown["regions"] == {"tyo": {"zones": ["a", "b", "c"]}}
    assert shown["features"] == []
    assert shown["nodes"] == [{"name": f"tyo-{zone}", "zone": f"tyo-{zone}", "region": "tyo"} for zone in "abc"]
    assert [row["name"] for row in shown["instances"]][:2] == ["toxiproxy", "nats-0"]
    assert [row["host"] for row in shown["instances"]] == list(exchange.hosts.values())
    assert shown["toxiproxy"] == shown["instances"][0]["http"]
    assert len(shown["venue"]["rest"]) == len(shown["venue"]["ws"]) == len(shown["venue"]["audit"]) == 2
    assert all(url.endswith("/v5/trade") for url in shown["venue"]["ws"])
    assert set(shown["links"][0]) == {"name", "from", "to", "group", "listen", "upstream"}


def test_exports_stay_on_loopback(exchange: Topology) -> None:
    values = exports(describe(exchange, Box(Path("/box")), "id", {}, planted=False))
    assert values["MUSTER_AGENT"] == f"http://127.0.0.1:{exchange.agent_port}"
    assert all(url.split("//")[1].startswith("127.0.0.1:") for name, url in values.items() if name.endswith("_URL"))
    assert values["KUBECONFIG"] == "/box/conf/kubeconfig"
    assert [url.rpartition(":")[0] for url in values["MUSTER_SANDBOX_BINARY"].split(",")] == [
        f"tcp://{exchange.hosts[name]}" for name in ("gateway-0", "gateway-1")
    ]
