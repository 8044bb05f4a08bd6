"""The whole exchange: up in seconds, its stream in three zones, and no way round the links."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from tests.sandbox.box import TestBox, dialled, exchange, switch, until

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    with exchange(tmp_path_factory.mktemp("box")) as made:
        yield made


@pytest.fixture(scope="module")
def described(box: TestBox) -> dict[str, Any]:
    return box.describe()


def test_every_component_serves_metrics(box: TestBox, described: dict[str, Any]) -> None:
    agent, wanted = described["agent"], {"order-bus": "bus_stream_last_sequence", "matching-engine": "exchange_"}
    for row in described["instances"]:
        url = f"{agent}/instances/{row['name']}" if row["service"] == "order-bus" else row["http"]
        text = urlopen(f"{url}/metrics", timeout=5).read().decode()
        assert wanted.get(row["service"], "# TYPE") in text, row["name"]


def test_every_instance_is_ready_and_first_of_its_life(box: TestBox) -> None:
    rows = box.call("GET", "/instances")[1]
    assert {row["service"] for row in rows} == {"links", "order-bus", "matching-engine", "gateway", "resolver"}
    assert [row["name"] for row in rows if not row["ready"] or row["restarts"]] == []


def test_the_stream_has_a_replica_in_each_zone(described: dict[str, Any], box: TestBox) -> None:
    for row in (row for row in described["instances"] if row["service"] == "order-bus"):
        shown = box.call("GET", "/jsz?streams=true&config=true", base=row["http"])[1]
        stream = shown["account_details"][0]["stream_detail"][0]  # a node lists the streams it holds
        assert stream["name"] == "ORD", row["name"]
        assert stream["config"]["num_replicas"] == 3
        assert stream["config"]["subjects"] == ["ord.tyo"]


def test_nothing_dials_round_the_links(box: TestBox, described: dict[str, Any]) -> None:
    links = {link["name"] for link in described["links"]}
    connections = dialled(box, described)
    direct = {(who, what) for who, what in connections if what not in links and who != "toxiproxy"}
    assert direct == set()
    assert all(what.split(">")[0] == who for who, what in connections if what in links)
    assert {what for who, what in connections if who == "gateway-0"} == {"gateway-0>engine-0", "gateway-0>engine-1"}


def test_a_cut_pair_of_bus_nodes_finds_no_other_way(box: TestBox, described: dict[str, Any]) -> None:
    both = ("nats-0>nats-1", "nats-1>nats-0")
    for link in both:
        switch(box, described, link, enabled=False)
    deadline = time.monotonic() + 3  # NATS tries again each second
    while time.monotonic() < deadline:
        found = dialled(box, described)
        assert not {what for who, what in found if who.startswith("nats-")} & {*both, "nats-0", "nats-1", "nats-2"}
        time.sleep(0.3)
    for link in both:
        switch(box, described, link, enabled=True)
    until(lambda: {what for _, what in dialled(box, described)} & set(both))


def test_links_come_back_with_a_new_toxiproxy(box: TestBox, described: dict[str, Any]) -> None:
    box.act("toxiproxy", "kill")
    until(lambda: box.view("toxiproxy")["ready"])
    assert set(box.call("GET", "/proxies", base=described["toxiproxy"])[1]) == {
        row["name"] for row in described["links"]
    }
    until(lambda: all(row["ready"] for row in box.call("GET", "/instances")[1]), 20)


def test_what_is_planted_is_nowhere_to_be_read(box: TestBox) -> None:
    box.run("down")
    box.up("--plant", "W01", bundled=True)
    assert box.describe()["planted"] is True
    assert not any("W01" in path.read_text(errors="replace") for path in box.root.glob("*.*"))
    assert not any("W01" in " ".join(process.cmdline()) for process in box.processes())
