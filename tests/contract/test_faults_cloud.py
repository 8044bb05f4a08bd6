"""What faults through a cloud promise beyond what every fault does: the right account, least rights, no dead end."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from chaoslib_ext import cloud, dnsask, httpjson, sops
from chaoslib_ext.cloud import CloudError
from chaoslib_ext.faults.base import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.guardian.verbs import NotUndone, find
from chaoslib_ext.world import World
from drills.errors import FaultError, Refused
from drills.ledger import Ledger, State
from tests.contract.cloudbox import CloudBox, cloudbox
from tests.contract.faultcases import Case
from tests.contract.faultcases.cloud import CASES as CLOUD
from tests.contract.injecting import inject
from tests.standins import until

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "cloud.md"
COMPOSITE = {"zone.loss": Case({"zone": "tyo-a"}, "", {}, ())}
CASES = {**CLOUD, **COMPOSITE}
FAULTS = sorted(CASES)
ACT = {
    "cloud.instance-stop": "ec2:StopInstances",
    "cloud.zone-isolate": "ec2:ReplaceNetworkAclAssociation",
    "cloud.target-deregister": "elasticloadbalancing:DeregisterTargets",
    "cloud.record-switch": "route53:ChangeResourceRecordSets",
    "zone.loss": "elasticloadbalancing:DeregisterTargets",
}


@pytest.fixture(scope="module")
def box() -> Iterator[CloudBox]:
    with cloudbox() as made:
        yield made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")


def client(box: CloudBox, service: str) -> Any:  # noqa: ANN401 - made of JSON by boto3
    aws = box.describe["aws"]
    keys = {"aws_access_key_id": aws["access_key"], "aws_secret_access_key": aws["secret_key"]}
    return boto3.Session(region_name=aws["region"], **keys).client(service, endpoint_url=aws["endpoint"])


def policy(fault: str) -> dict[str, Any]:
    """The policy of a fault as the guide has it, without conditions: moto knows none."""
    found = re.search(rf"### `{fault}`\n.*?```json\n(.*?)```", GUIDE.read_text(), re.S)
    assert found, f"the guide has no policy of {fault}"
    document: dict[str, Any] = json.loads(found[1])
    for statement in document["Statement"]:
        statement.pop("Condition", None)
    return document


@contextlib.contextmanager
def least_rights(box: CloudBox, folder: Path, document: dict[str, Any]) -> Iterator[World]:
    """The world, reached with keys that may do what the policy allows and nothing else."""
    iam, endpoint = client(box, "iam"), box.describe["aws"]["endpoint"]
    user = f"drill-{folder.name[:40]}"
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="drill", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    keys = f"aws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
    (folder / "keys").write_text(f"[sandbox]\n{keys}")
    assert httpjson.call("POST", f"{endpoint}/moto-api/reset-auth", 0)[0] == 200
    try:
        described = {**box.describe, "aws": {**box.describe["aws"], "credentials_file": str(folder / "keys")}}
        yield World.from_describe(described).tagged("20260101T000000Z-test", "f1")
    finally:
        httpjson.call("POST", f"{endpoint}/moto-api/reset-auth", float("inf"))


@pytest.mark.parametrize("name", FAULTS)
def test_it_works_with_the_rights_of_the_guide(name: str, box: CloudBox, tmp_path: Path, ledger: Ledger) -> None:
    before = box.world.snapshot()
    with least_rights(box, tmp_path, policy(name)) as world:
        inject(build(name, CASES[name].params), world, ledger)
        assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, box.world.snapshot()) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_missing_right_is_named(name: str, box: CloudBox, tmp_path: Path, ledger: Ledger) -> None:
    document = policy(name)
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action != ACT[name]]
    before = box.world.snapshot()
    with least_rights(box, tmp_path, document) as world:
        fault = build(name, CASES[name].params)
        targets = fault.targets(world)
        if name in ("cloud.instance-stop", "cloud.zone-isolate"):  # EC2 has dry runs
            with pytest.raises(Refused, match=rf"cloud-permission.*{ACT[name]}.*nothing was touched"):
                fault.plan_undo(targets, world)
        else:
            ledger.write("intent", fault_id="f1", fault=name, recipes=fault.plan_undo(targets, world))
            with pytest.raises(FaultError, match=ACT[name]):
                fault.apply(targets, world)
            if name in COMPOSITE:  # what went before the cloud refused is given back
                assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, box.world.snapshot()) == []


def test_another_account_is_refused(box: CloudBox) -> None:
    other = World.from_describe({**box.describe, "aws": {**box.describe["aws"], "account": "210987654321"}})
    with pytest.raises(Refused, match=r"account-identity.*belong to account 123456789012.*is account 210987654321"):
        build("cloud.zone-isolate", {"zone": "tyo-a"}).targets(other)


def test_an_environment_without_a_cloud_is_refused(box: CloudBox) -> None:
    other = World.from_describe({**box.describe, "aws": None})
    with pytest.raises(Refused, match="no-cloud"):
        build("cloud.instance-stop", {"zone": "tyo-a"}).targets(other)
    assert not [thing for thing in other.snapshot()["planes"] if thing.startswith("cloud")]


def test_a_zone_that_is_down_already_proves_nothing(box: CloudBox, ledger: Ledger) -> None:
    inject(build("cloud.instance-stop", {"zone": "tyo-b"}), box.world, ledger)
    fault = build("cloud.instance-stop", {"zone": "tyo-b"})
    with pytest.raises(FaultError, match="tyo-b is stopped; nothing was touched"):
        fault.plan_undo(fault.targets(box.world), box.world)
    Player(ledger).undo(ledger.book.open(), "test")


def test_a_cloud_that_does_not_answer_is_never_taken_for_undone(box: CloudBox) -> None:
    fault = build("cloud.instance-stop", {"node": "tyo-a"})
    recipe = fault.plan_undo(fault.targets(box.world), box.world)[-1]
    away = {**recipe["args"], "target": {**recipe["args"]["target"], "endpoint": "http://127.0.0.1:1"}}
    for act in (find("cloud.start").undo, find("cloud.start").observe):
        with pytest.raises(NotUndone, match="aws: sts:GetCallerIdentity failed"):
            act(away)


def test_a_scaling_group_does_not_terminate_what_is_stopped(box: CloudBox, ledger: Ledger) -> None:
    def suspended() -> set[str]:
        group = client(box, "autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["gateway"])
        return {one["ProcessName"] for one in group["AutoScalingGroups"][0]["SuspendedProcesses"]}

    client(box, "autoscaling").suspend_processes(AutoScalingGroupName="gateway", ScalingProcesses=["AZRebalance"])
    inject(build("cloud.instance-stop", {"node": "tyo-a"}), box.world, ledger)
    assert suspended() == {"HealthCheck", "ReplaceUnhealthy", "AZRebalance"}
    Player(ledger).undo(ledger.book.open(), "test")
    assert suspended() == {"AZRebalance"}  # somebody else's
    client(box, "autoscaling").resume_processes(AutoScalingGroupName="gateway")


def test_a_cloud_that_was_killed_gives_back_what_it_took(box: CloudBox) -> None:
    agent, links, aws = box.exchange.agent, box.exchange.toxiproxy, box.describe["aws"]
    before = box.world.snapshot()
    fault = build("cloud.zone-isolate", {"zone": "tyo-b"})
    fault.plan_undo(fault.targets(box.world), box.world)
    fault.apply(fault.targets(box.world), box.world)
    client(box, "ec2").stop_instances(InstanceIds=[aws["instances"]["tyo-b"]])
    until(lambda: agent.phase("engine-1") == "held")
    until(lambda: not links.links["gateway-0>engine-1"].shown()["enabled"])
    box.process.kill()
    box.process.wait()
    box.process = box.start(int(aws["endpoint"].rpartition(":")[2]))
    until(lambda: agent.phase("engine-1") == "running")
    until(lambda: links.links["gateway-0>engine-1"].shown()["enabled"])
    until(lambda: World.diff(before, box.world.snapshot()) == [])  # the other links follow one by one


def test_a_terminated_instance_comes_back_where_a_group_holds_it(box: CloudBox) -> None:
    agent, ec2 = box.exchange.agent, client(box, "ec2")
    pid, old = agent.pid("engine-0"), box.describe["aws"]["instances"]["tyo-a"]
    ec2.terminate_instances(InstanceIds=[old])
    until(lambda: [one for one in _nodes(ec2) if one.get("Name") == "tyo-a" and one["Id"] != old])
    until(lambda: agent.phase("engine-0") == "running")
    assert pid
    groups = client(box, "elbv2")
    arn = box.describe["aws"]["target_groups"]["gateway-ws"]
    health = groups.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert len(health) == 2


def _nodes(ec2: Any) -> list[dict[str, str]]:  # noqa: ANN401
    filters = [{"Name": "instance-state-name", "Values": ["running"]}]
    found = ec2.describe_instances(Filters=filters)["Reservations"]
    rows = [one for row in found for one in row["Instances"]]
    return [{"Id": one["InstanceId"], **{tag["Key"]: tag["Value"] for tag in one["Tags"]}} for one in rows]


def test_what_is_not_there_is_named(box: CloudBox) -> None:
    reached = cloud.connect(*(cloud.target_of(box.describe) or ("", {})))
    with pytest.raises(CloudError, match="aws: there is no target group gateway-fix"):
        reached.deregister("gateway-fix", [])
    assert reached.states(["i-00000000000000000"]) == {"i-00000000000000000": "gone"}


def test_a_lost_zone_without_targets_asks_nothing_of_its_load_balancers(box: CloudBox) -> None:
    fault = build("zone.loss", {"zone": "tyo-b"})
    assert [target.kind for target in fault.targets(box.world)] == ["zone", "cloud", "cloud"]
    alone = World.from_describe({**box.describe, "aws": {**box.describe["aws"], "target_groups": {}}})
    assert [target.kind for target in fault.targets(alone)] == ["zone"]
    assert "load balancer" not in fault.describe(fault.targets(alone))
    assert {recipe["verb"] for recipe in fault.plan_undo(fault.targets(alone), alone)}.isdisjoint({"cloud.register"})
    planned = build("zone.loss", {"zone": "tyo-b", "mode": "planned"})
    first = planned.describe(planned.targets(box.world)).partition(", ")[0]
    assert first == "take 2 targets of load balancers there out of their groups"


def test_a_name_that_the_account_holds_is_switched_there(box: CloudBox) -> None:
    before = box.world.snapshot()
    with pytest.raises(FaultError, match=r"leads to tyo: clients would come straight back.*nothing was touched"):
        sops.build("gateway.disconnect", {"region": "tyo"}).do(box.world)
    answered = {"tyo": {"127.11.1.9", "127.11.2.9"}, "sgp": {"127.12.1.9"}}
    for region, hosts in (("sgp", answered["sgp"]), ("sgp", answered["sgp"]), ("tyo", answered["tyo"])):
        assert "leads to" in sops.build("dns.switch", {"to": region}).do(box.world)
        # the reconciler tells the resolver: what was told to that one alone would fall with the next change of a target
        assert dnsask.answers(box.resolver.address, "api.exchange.test") == hosts
        sets = cloud.connect(*(cloud.target_of(box.describe) or ("", {}))).record("api.exchange.test")["sets"]
        assert {name: one["weight"] for name, one in sets.items() if one["weight"]} == {region: 100}
    assert World.diff(before, box.world.snapshot()) == []
