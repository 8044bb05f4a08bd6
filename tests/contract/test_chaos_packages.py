"""chaostoolkit-aws and aws-az-failure-chaostoolkit on the sandbox's cloud: what works."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.cloudbox import CloudBox, cloudbox
from tests.standins import until

REASONS = {
    "chaosaws.ec2.actions.terminate_instance": "cannot be undone",
    "chaosaws.ec2.actions.terminate_instances": "cannot be undone",
    "chaosaws.ec2.actions.stop_instances_by_incremental_steps": "must be a sequence",  # it samples a dictionary
    "chaosaws.ec2.actions.detach_random_volume": "nodes of the sandbox keep no volumes",
    "chaosaws.ec2.actions.attach_volume": "nodes of the sandbox keep no volumes",
    "chaosaws.elbv2.actions.set_subnets": "Cannot change subnets of network load balancers",
    "chaosaws.elbv2.actions.set_security_groups": "network load balancers are refused by it",
    "chaosaws.elbv2.actions.delete_load_balancer": "cannot be undone",
    "chaosaws.elbv2.actions.enable_access_log": "the sandbox has no bucket",
    "chaosaws.asg.actions.terminate_random_instances": "cannot be undone",
    "chaosaws.asg.actions.change_subnets": "leaves the former subnets unsaved; the zone package's fail_az saves them",
    "chaosaws.asg.actions.detach_random_volume": "nodes of the sandbox keep no volumes",
    "chaosaws.asg.actions.attach_volume": "nodes of the sandbox keep no volumes",
    "chaosaws.asg.probes.wait_desired_not_equals_healthy_tags": "nothing of the sandbox stays unhealthy in its group",
    "chaosaws.route53.actions.associate_vpc_with_zone": "public hosted zone",
    "chaosaws.route53.actions.disassociate_vpc_from_zone": "the hosted zone is public",
    "chaosaws.route53.probes.get_health_check_status": "the sandbox has no health checks",
    "chaosaws.route53.probes.get_dns_answer": "Not Found",  # moto has no TestDNSAnswer
    "azchaosaws.elbv2.actions.fail_az": "at least 2 AZs",
    "azchaosaws.elbv2.actions.recover_az": "follows fail_az, which skips network load balancers",
}
"""Why not: words of their own error where they were tried, else ours."""

ABSENT = (
    *("awslambda", "cloudwatch", "ecs", "eks", "elasticache", "elb", "emr", "fis", "iam", "incidents", "mq", "msk"),
    *("rds", "s3", "ssm", "xray"),
)
"""Services that the sandbox's world does not have."""


@pytest.fixture(scope="module")
def box() -> Iterator[CloudBox]:
    with cloudbox() as made:
        yield made


def everything() -> set[str]:
    """Every action and probe that the two packages export."""
    found = set()
    for root in ("chaosaws", "azchaosaws"):
        path = [str(Path(importlib.import_module(root).__file__ or "").parent)]
        for one in pkgutil.walk_packages(path, f"{root}."):
            if one.name.endswith((".actions", ".probes")) and one.name.split(".")[1] not in ABSENT:
                found |= {f"{one.name}.{name}" for name in importlib.import_module(one.name).__all__}
    return found


def test_each_passes_or_has_its_reason(box: CloudBox) -> None:
    aws = box.describe["aws"]
    keys = {"AWS_ACCESS_KEY_ID": aws["access_key"], "AWS_SECRET_ACCESS_KEY": aws["secret_key"]}
    env = {**os.environ, **keys, "AWS_ENDPOINT_URL": aws["endpoint"], "AWS_REGION": aws["region"]}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    argv = [sys.executable, "-W", "ignore", "-m", "tests.contract.chaospackages"]
    link = box.exchange.toxiproxy.links["gateway-0>engine-1"]
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "cut\n"
        until(lambda: not link.shown()["enabled"])  # their network ACL, as real as ours
        child.stdin.write("seen\n")
        child.stdin.flush()
        results = json.loads(child.stdout.readline())
    until(lambda: link.shown()["enabled"])
    wrong = {name: said for name, said in results.items() if said != "pass" and REASONS.get(name, "\0") not in said}
    assert wrong == {}
    tried = {name.partition(" ")[0] for name in results}
    assert everything() == tried | set(REASONS)
