"""Runs actions and probes of chaostoolkit-aws and aws-az-failure-chaostoolkit against a sandbox's cloud.

`python -m tests.contract.chaospackages` with the sandbox's AWS environment, in a process of its own because both
packages keep boto3's one default session; prints {name: "pass" or why not}.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boto3
from chaoslib.exceptions import ChaosException

ZONE = "ap-northeast-1c"
CONFIG = {"aws_region": "ap-northeast-1"}
MINE = [{"Key": "muster:environment", "Value": "sandbox"}]
BY_TAG = [{"Name": "tag:muster:environment", "Values": ["sandbox"]}]
HERE = [*BY_TAG, {"Name": "availability-zone", "Values": [ZONE]}]

Call = Callable[[], object]


def package(name: str) -> Any:  # noqa: ANN401 - a module of somebody else's
    """One module of theirs."""
    return importlib.import_module(name)


def calls() -> dict[str, Call]:
    """What is tried, in this order: each act is followed by what undoes it."""
    return {**_ec2(), **_elbv2(), **_asg(), **_route53(), **_zones()}


def _ids(*states: str) -> list[str]:
    filters = [*HERE, {"Name": "instance-state-name", "Values": list(states)}]
    found = boto3.client("ec2", **_where()).describe_instances(Filters=filters)["Reservations"]
    return [one["InstanceId"] for row in found for one in row["Instances"]]


def _where() -> dict[str, str]:
    return {"region_name": CONFIG["aws_region"]}


def _start() -> object:
    act = package("chaosaws.ec2.actions")
    return act.start_instances(instance_ids=_ids("stopped"), configuration=CONFIG)


def _ec2() -> dict[str, Call]:
    act, probe, c = package("chaosaws.ec2.actions"), package("chaosaws.ec2.probes"), {"configuration": CONFIG}
    return {
        "chaosaws.ec2.actions.stop_instance": lambda: (
            act.stop_instance(instance_id=_ids("running")[0], **c),
            _start(),
        ),
        "chaosaws.ec2.actions.stop_instances": lambda: act.stop_instances(az=ZONE, filters=list(BY_TAG), **c),
        "chaosaws.ec2.actions.start_instances": lambda: act.start_instances(az=ZONE, filters=list(BY_TAG), **c),
        "chaosaws.ec2.actions.restart_instances": lambda: act.restart_instances(instance_ids=_ids("running"), **c),
        "chaosaws.ec2.actions.stop_instances_by_incremental_steps": lambda: act.stop_instances_by_incremental_steps(
            volume=100, step_quantity=1, step_duration=0, az=ZONE, **c
        ),
        "chaosaws.ec2.actions.set_tags_on_instances": lambda: act.set_tags_on_instances(
            tags="drill=1", az=ZONE, percentage=100, filters=list(BY_TAG), **c
        ),
        "chaosaws.ec2.actions.remove_tags_from_instances": lambda: act.remove_tags_from_instances(
            tags="drill=1", az=ZONE, **c
        ),
        "chaosaws.ec2.probes.describe_instances": lambda: probe.describe_instances(filters=list(BY_TAG), **c),
        "chaosaws.ec2.probes.count_instances": lambda: _is(probe.count_instances(filters=list(BY_TAG), **c), 2),
        "chaosaws.ec2.probes.count_min_instances": lambda: probe.count_min_instances(
            filters=list(BY_TAG), min_count=2, **c
        ),
        "chaosaws.ec2.probes.instance_state": lambda: _is(
            probe.instance_state(state="running", instance_ids=_ids("running"), **c), True
        ),
    }


def _elbv2() -> dict[str, Call]:
    act, probe, c = package("chaosaws.elbv2.actions"), package("chaosaws.elbv2.probes"), {"configuration": CONFIG}
    return {
        "chaosaws.elbv2.probes.all_targets_healthy": lambda: _is(
            probe.all_targets_healthy(tg_names=["gateway-ws"], **c), True
        ),
        "chaosaws.elbv2.probes.targets_health_count": lambda: _is(
            probe.targets_health_count(tg_names=["gateway-ws"], **c), {"gateway-ws": {"healthy": 2}}
        ),
        "chaosaws.elbv2.probes.is_access_log_enabled": lambda: probe.is_access_log_enabled(_balancer(), **c),
        "chaosaws.elbv2.actions.deregister_target": lambda: act.deregister_target(tg_name="gateway-ws", **c),
        "chaosaws.elbv2.actions.set_subnets": lambda: act.set_subnets(["exchange"], _subnets(), **c),
    }


def _subnets() -> list[str]:
    found = boto3.client("ec2", **_where()).describe_subnets(Filters=BY_TAG)["Subnets"]
    return [row["SubnetId"] for row in found]


def _balancer() -> str:
    found = boto3.client("elbv2", **_where()).describe_load_balancers()["LoadBalancers"]
    return str(found[0]["LoadBalancerArn"])


def _asg() -> dict[str, Call]:
    act, probe, c = package("chaosaws.asg.actions"), package("chaosaws.asg.probes"), {"configuration": CONFIG}
    names = {"asg_names": ["gateway"], **c}
    return {
        "chaosaws.asg.actions.suspend_processes": lambda: act.suspend_processes(process_names=["Launch"], **names),
        "chaosaws.asg.probes.process_is_suspended": lambda: _is(
            probe.process_is_suspended(process_names=["Launch"], **names), True
        ),
        "chaosaws.asg.actions.resume_processes": lambda: act.resume_processes(process_names=["Launch"], **names),
        "chaosaws.asg.probes.desired_equals_healthy": lambda: _is(probe.desired_equals_healthy(**names), True),
        "chaosaws.asg.probes.desired_equals_healthy_tags": lambda: _is(
            probe.desired_equals_healthy_tags(tags=MINE, **c), True
        ),
        "chaosaws.asg.probes.wait_desired_equals_healthy": lambda: probe.wait_desired_equals_healthy(
            ["gateway"], timeout=5, **c
        ),
        "chaosaws.asg.probes.wait_desired_equals_healthy_tags": lambda: probe.wait_desired_equals_healthy_tags(
            MINE, timeout=5, **c
        ),
        "chaosaws.asg.probes.is_scaling_in_progress": lambda: _is(probe.is_scaling_in_progress(tags=MINE, **c), False),
        "chaosaws.asg.probes.has_subnets": lambda: probe.has_subnets(subnets=["subnet-0"], **names),
        "chaosaws.asg.probes.describe_auto_scaling_groups": lambda: probe.describe_auto_scaling_groups(**names),
        "chaosaws.asg.probes.instance_count_by_health": lambda: _is(probe.instance_count_by_health(**names), 2),
        "chaosaws.asg.actions.stop_random_instances": lambda: (
            act.stop_random_instances(instance_count=1, az=ZONE, **names),
            _start(),
        ),
        "chaosaws.asg.actions.detach_random_instances": lambda: act.detach_random_instances(
            instance_count=1, decrement_capacity=True, **names
        ),
    }


def _route53() -> dict[str, Call]:
    act, probe, c = package("chaosaws.route53.actions"), package("chaosaws.route53.probes"), {"configuration": CONFIG}
    zone = boto3.client("route53", **_where()).list_hosted_zones()["HostedZones"][0]["Id"].rpartition("/")[2]
    vpc = {"vpc_id": "vpc-0", "vpc_region": CONFIG["aws_region"]}
    return {
        "chaosaws.route53.probes.get_hosted_zone": lambda: probe.get_hosted_zone(zone, **c),
        "chaosaws.route53.probes.get_dns_answer": lambda: probe.get_dns_answer(zone, "api.exchange.test", "A", **c),
        "chaosaws.route53.actions.associate_vpc_with_zone": lambda: act.associate_vpc_with_zone(zone, **vpc, **c),
    }


def _zones() -> dict[str, Call]:
    ec2, asg, elb = (package(f"azchaosaws.{name}.actions") for name in ("ec2", "asg", "elbv2"))
    folder = Path(mkdtemp())

    def state(name: str) -> dict[str, Any]:
        return {"state_path": str(folder / f"{name}.json"), "configuration": CONFIG}

    def network() -> None:
        done = ec2.fail_az(az=ZONE, dry_run=False, failure_type="network", filters=list(BY_TAG), **state("network"))
        _is(len(done["Subnets"]), 1)
        cut()

    def cut() -> None:
        """Say that the zone is cut, and wait until whoever looks at the links has seen it."""
        sys.stdout.write("cut\n")
        sys.stdout.flush()
        sys.stdin.readline()

    def instances() -> None:
        running = [*BY_TAG, {"Name": "instance-state-name", "Values": ["running"]}]
        ec2.fail_az(az=ZONE, dry_run=False, failure_type="instance", filters=running, **state("instance"))
        _is(len(_ids("stopped")), 1)
        _is(ec2.recover_az(**state("instance")), True)
        _is(len(_ids("running")), 1)

    return {
        "azchaosaws.ec2.actions.fail_az network": network,
        "azchaosaws.ec2.actions.recover_az": lambda: _is(ec2.recover_az(**state("network")), True),
        "azchaosaws.ec2.actions.fail_az instance": instances,
        "azchaosaws.elbv2.actions.fail_az": lambda: _is(
            elb.fail_az(az=ZONE, dry_run=False, tags=[{"Key": "Name", "Value": "exchange"}], **state("elb"))[
                "LoadBalancers"
            ],
            "an application load balancer",
        ),
        "azchaosaws.asg.actions.fail_az": lambda: asg.fail_az(az=ZONE, dry_run=False, tags=MINE, **state("asg")),
        "azchaosaws.asg.actions.recover_az": lambda: asg.recover_az(**state("asg")),
    }


def _is(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r}, not {wanted!r}")


def main() -> None:
    """Try them all."""
    logging.disable(logging.CRITICAL)
    results = {}
    for name, call in calls().items():
        try:
            call()
        except (ChaosException, AssertionError, TypeError) as error:
            results[name] = f"{type(error).__name__}: {error}"
        else:
            results[name] = "pass"
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    os.chdir(mkdtemp())
    main()
