"""`sandbox up --aws`: what the cloud changes happens to the sandbox, also through faults and after crashes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from chaoslib_ext import dnsask
from chaoslib_ext.faults.base import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.world import World
from drills.ledger import Ledger, State
from tests.contract.injecting import inject
from tests.sandbox.box import TestBox, exchange, until

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    with exchange(tmp_path_factory.mktemp("box"), "--aws") as made:
        yield made


@pytest.fixture
def env(box: TestBox) -> dict[str, str]:
    """What `sandbox env` exports."""
    shown = box.run("env").stdout.splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in shown)


@pytest.fixture
def ec2(env: dict[str, str]) -> Any:  # noqa: ANN401 - made of JSON by boto3
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    session = boto3.Session(region_name=env["AWS_REGION"], **keys)
    return session.client("ec2", endpoint_url=env["AWS_ENDPOINT_URL"])


def test_it_is_described_and_every_node_is_an_instance(box: TestBox, ec2: Any) -> None:  # noqa: ANN401
    told = box.describe()
    assert told["features"] == ["aws"]
    rows = [one for row in ec2.describe_instances()["Reservations"] for one in row["Instances"]]
    names = {tag["Value"]: one for one in rows for tag in one["Tags"] if tag["Key"] == "Name"}
    assert set(names) == {node["name"] for node in box.call("GET", "/nodes")[1]}
    assert {name: one["InstanceId"] for name, one in names.items()} == told["aws"]["instances"]
    assert names["tyo-b"]["Placement"]["AvailabilityZone"] == "ap-northeast-1c"
    assert (box.root / "conf" / "aws-credentials").read_text().startswith("[sandbox]")


def test_a_stopped_instance_is_dead_and_a_started_one_runs(box: TestBox, ec2: Any) -> None:  # noqa: ANN401
    ids = [box.describe()["aws"]["instances"]["tyo-c"]]
    pid = box.view("nats-2")["pid"]
    ec2.stop_instances(InstanceIds=ids)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    until(lambda: box.view("nats-2")["pid"] is None)
    assert box.view("nats-1")["phase"] == "running"
    ec2.start_instances(InstanceIds=ids)
    until(lambda: box.view("nats-2")["ready"])


@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("cloud.instance-stop", {"zone": "tyo-b"}),
        ("cloud.zone-isolate", {"zone": "tyo-b"}),
        ("cloud.target-deregister", {"zone": "tyo-b", "group": "gateway-ws"}),
    ],
)
def test_a_fault_through_the_cloud_leaves_no_trace(
    box: TestBox, tmp_path: Path, fault: str, params: dict[str, str]
) -> None:
    world = World.from_describe(box.describe()).tagged("20260101T000000Z-test", "f1")
    until(lambda: all(row["ready"] for row in box.call("GET", "/instances")[1]))
    before = world.snapshot()
    ledger = Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")
    witness = inject(build(fault, params), world, ledger)
    assert all(text.endswith(("is gone", "refuses connections", "for api.exchange.test")) for text in witness.texts)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: World.diff(before, world.snapshot()) == [])  # what was started is running before it is ready


def test_a_lost_zone_leaves_the_load_balancer_too(box: TestBox, tmp_path: Path) -> None:
    world = World.from_describe(box.describe()).tagged("20260101T000000Z-test", "f1")
    until(lambda: all(row["ready"] for row in box.call("GET", "/instances")[1]), 30)
    before, name = world.snapshot(), world.describe["aws"]["record"]
    address = world.describe["dns"]["address"]
    gone = {one.host for one in world.instances if (one.service, one.zone) == ("gateway", "tyo-b")}
    assert gone < dnsask.answers(address, name)
    ledger = Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")
    witness = inject(build("zone.loss", {"zone": "tyo-b", "mode": "planned"}), world, ledger)
    assert any(text.startswith("out of their groups: gateway-") for text in witness.texts)
    until(lambda: not gone & dnsask.answers(address, name))
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: gone < dnsask.answers(address, name))
    until(lambda: World.diff(before, world.snapshot()) == [], 30)


def test_links_that_do_not_cross_the_border_stay(box: TestBox, tmp_path: Path) -> None:
    world = World.from_describe(box.describe()).tagged("20260101T000000Z-test", "f1")
    ledger = Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")
    inject(build("cloud.zone-isolate", {"zone": "tyo-a"}), world, ledger)
    cut = {name for name, one in world.toxiproxy.proxies().items() if not one.enabled}
    assert cut == {
        *("gateway-0>engine-1", "gateway-1>engine-0", "engine-0>nats-1", "engine-0>nats-2", "engine-1>nats-0"),
        *("nats-0>nats-1", "nats-1>nats-0", "nats-0>nats-2", "nats-2>nats-0"),
    }
    Player(ledger).undo(ledger.book.open(), "test")
    assert all(one.enabled for one in world.toxiproxy.proxies().values())


def test_a_killed_cloud_comes_back_the_same_and_gives_back(box: TestBox, ec2: Any) -> None:  # noqa: ANN401
    told = json.loads((box.root / "conf" / "aws.json").read_text())
    ec2.stop_instances(InstanceIds=[told["instances"]["tyo-c"]])
    until(lambda: box.view("nats-2")["phase"] == "held")
    os.kill(box.view("cloud")["pid"], 9)
    until(lambda: box.view("nats-2")["ready"], 30)
    until(lambda: box.view("cloud")["ready"], 30)
    assert json.loads((box.root / "conf" / "aws.json").read_text()) == told


def test_a_sandbox_without_it_is_not_taken_for_one_with_it(tmp_path: Path) -> None:
    plain = TestBox(tmp_path)
    plain.pod("web-0")
    plain.up()
    try:
        exported = plain.run("env").stdout
        assert "AWS_ENDPOINT_URL=http://127.0.0.1:1\n" in exported
        assert "AWS_ACCESS_KEY_ID" not in exported
        refused = plain.run("up", "--aws", "--manifests", str(plain.manifests))
        assert refused.returncode == 5
        assert "without aws; first: muster sandbox down" in refused.stderr
    finally:
        plain.run("down")


def test_it_dies_with_its_agent(box: TestBox) -> None:
    cloud = psutil.Process(box.view("cloud")["pid"])
    box.agent().kill()  # the last test: the fixture sweeps what is left
    until(lambda: not cloud.is_running() or cloud.status() == psutil.STATUS_ZOMBIE)
