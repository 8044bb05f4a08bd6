"""Zones as network namespaces: addresses, links and words, without making one."""

from __future__ import annotations

from typing import Any

import pytest

from chaoslib_ext import needs, netns
from chaoslib_ext.faults.base import build as fault_of
from chaoslib_ext.guardian.verbs import find
from chaoslib_ext.world import World
from drills.errors import DefinitionError, Refused
from loadgen.engine import here as locality
from loadgen.engine.here import here
from loadgen.engine.sendable import check_loopback
from loadgen.venues.wire import Endpoint
from sandbox import ports
from sandbox.errors import BadUse
from sandbox.errors import Refused as SandboxRefused
from sandbox.home import Box
from sandbox.netns import build, plan, probe
from sandbox.node.source import StaticPods
from sandbox.start import Wish, up
from sandbox.topology import Topology, describe, lay_out


@pytest.fixture
def laid(monkeypatch: pytest.MonkeyPatch) -> Topology:
    monkeypatch.setattr(ports, "is_free", lambda *_: True)
    pods = StaticPods().pods()
    return lay_out(pods, plan.layout(["tyo-b", "tyo-a", "tyo-c"], 1, "rules"))


def described(laid: Topology, tmp_path: Any) -> dict[str, Any]:  # noqa: ANN401
    made = describe(laid, Box(tmp_path), "id", {}, planted=False, features=["netns"])
    for number, one in enumerate(made["netns"]["zones"].values()):
        one |= {"pid": 100 + number, "start_time": 1.0}
    return made


def test_each_link_listens_on_an_address_of_its_pair_of_zones(laid: Topology) -> None:
    assert laid.hosts["engine-0"].startswith("198.18.16.")
    assert laid.hosts["engine-1"].startswith("198.18.17.")
    assert laid.hosts["toxiproxy"] == "127.0.0.1"
    links = {link.name: link.listen.partition(":")[0] for link in laid.links}
    assert links["engine-0>nats-0"] == "198.18.16.64"
    assert links["engine-0>nats-2"] == "198.18.16.66"
    assert links["engine-1>nats-0"] == "198.18.17.64"


def test_only_the_profile_shows_in_what_is_described(laid: Topology, tmp_path: Any) -> None:  # noqa: ANN401
    made = described(laid, tmp_path)
    assert made["venue"]["networks"] == ["198.18.16.0/20"]
    assert plan.of_described(made) == laid.netns
    assert build.enter(made, "tyo-a", laid.hosts["engine-0"]) == ("nsenter", "--net=/proc/100/ns/net", "--")
    assert build.enter(made, None, "127.0.0.1") == ()
    plain = describe(lay_out(StaticPods().pods()), Box(tmp_path), "id", {}, planted=False)
    assert "netns" not in plain
    assert "networks" not in plain["venue"]


def test_too_many_zones_or_pods_are_told() -> None:
    with pytest.raises(BadUse, match="17 zones"):
        plan.layout([f"z-{n:02}" for n in range(17)], 0, "rules")
    with pytest.raises(BadUse, match="more than 127 pods"):
        plan.layout(["z"], 0, "rules").pod("z", 127)
    with pytest.raises(BadUse, match="no rung 'nft'"):
        probe.find("nft")


def test_a_scheduler_and_namespaces_do_not_go_together(tmp_path: Any) -> None:  # noqa: ANN401
    wish = Wish(StaticPods().folder, features=("kubernetes", "netns"))
    with pytest.raises(SandboxRefused, match="--netns and --kubernetes do not go together"):
        up(Box(tmp_path), wish, print)


def test_a_partition_asks_for_the_profile() -> None:
    assert needs.flags({"netns", "sgp"}) == ["--dr", "--netns"]
    assert needs.of_use("network.partition", {"between": ["tyo", "sgp"]}) == {"netns", "sgp"}
    assert needs.of_use("network.partition", {"from": "sgp-a", "to": "tyo-a"}) == {"netns", "sgp"}
    assert needs.of_use("network.partition", {"zone": "tyo-a"}) == {"netns"}
    with pytest.raises(Refused, match=r"needs-netns.*muster sandbox up --netns.*nothing was touched"):
        needs.check({"features": []}, ["netns"], "apart")


def test_a_plan_names_the_places_and_the_rung(laid: Topology, tmp_path: Any) -> None:  # noqa: ANN401
    world = World.from_describe(described(laid, tmp_path))
    said = {}
    for params in ({"from": "tyo-a", "to": "tyo-c"}, {"zone": "tyo-b"}, {"between": ["tyo-a", "tyo-b", "tyo-c"]}):
        fault = fault_of("network.partition", params)
        targets = fault.targets(world)
        said[fault.describe(targets)] = [(one.kind, one.name) for one in targets]
    assert said == {
        "lose every packet from tyo-a to tyo-c, by blackhole rules": [("link", "tyo-a>tyo-c")],
        "lose every packet between tyo-b and everything outside it, by blackhole rules": [("zone", "tyo-b")],
        "lose every packet between tyo-a, tyo-b and tyo-c, by blackhole rules": [
            ("link", "tyo-a|tyo-b"),
            ("link", "tyo-a|tyo-c"),
            ("link", "tyo-b|tyo-c"),
        ],
    }


def test_a_namespace_that_is_gone_is_undone() -> None:
    args = {"zone": "tyo-a", "pid": 2**22 + 1, "start_time": 1.0, "rung": "rules", "mark": netns.number("x")}
    verb = find("netns.heal")
    verb.undo(args)
    assert verb.observe(args) == "the namespace of tyo-a is gone, with all that was lost in it"


def test_a_network_of_the_sandbox_is_here_only_in_the_range_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    attached: list[str] = []

    def is_attached(host: str, _: object) -> bool:
        attached.append(host)
        return host.endswith(".1")

    monkeypatch.setattr(locality, "_attached", is_attached)
    is_here = here(["198.18.16.0/20"])
    assert [is_here(one) for one in ("127.3.2.1", "localhost", "198.18.16.1")] == [True] * 3
    assert not any(is_here(one) for one in ("198.18.17.2", "198.18.32.1", "192.0.2.1", "example.org"))
    assert attached == ["198.18.16.1", "198.18.17.2"]
    assert not here()("198.18.16.1")
    for wrong in ("192.0.2.0/24", "0.0.0.0/0", "x"):
        with pytest.raises(DefinitionError, match=r"venue\.networks"):
            here([wrong])


def test_a_load_goes_to_a_network_only_where_the_sandbox_says_it_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class There:
        endpoints = (Endpoint("198.18.16.1", 1),)

    wire: Any = There()
    monkeypatch.setattr(locality, "_attached", lambda *_: True)
    check_loopback("sandbox", wire, None, ["198.18.16.0/20"])
    with pytest.raises(Refused, match="not on this machine"):
        check_loopback("sandbox", wire)
