"""AWS: EC2 instances, network ACLs, Auto Scaling groups, ELBv2 target groups, Route 53.

One explicit session a target and never boto3's default one, which keeps the keys of whoever came first. The endpoint is
the environment's or AWS's own, never one that a variable of the shell names.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chaoslib_ext.cloud import Act, CloudError, Denied, Machine, RoutedTarget, Saved, _awscli

REACHED_BY = ("endpoint", "region", "account", "profile", "credentials_file", "tag", "zones", "zone_id")
"""What of a description a recipe keeps: names of keys, never keys."""

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "InvalidClientTokenId")
DRY = "DryRunOperation"
MADE_FOR = "muster"
"""Tag on what a fault made; its value is the run and the fault."""

REPLACING = ("HealthCheck", "ReplaceUnhealthy", "AZRebalance")
"""What makes a scaling group terminate a stopped instance, which nobody could start again."""

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=8,
    retries={"max_attempts": 2, "mode": "standard"},
    ignore_configured_endpoint_urls=True,
    user_agent_extra="muster",
)
_PREFIX = {"elbv2": "elasticloadbalancing"}
"""How policies call a service, where that is another word than the client's."""

_GONE = ("terminated", "shutting-down")


def connect(target: Mapping[str, Any]) -> AwsCloud:
    """The account behind a target; nothing is asked yet."""
    return AwsCloud(target)


class AwsCloud:
    """One account, in the regions of its zones."""

    def __init__(self, target: Mapping[str, Any]) -> None:
        self.target = dict(target)
        self._places: dict[str, dict[str, str]] = dict(target.get("zones") or {})
        self._clients: dict[tuple[str, str], Any] = {}

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 has no types
        core = botocore.session.Session(profile=self.target.get("profile"))
        if self.target.get("credentials_file"):
            core.set_config_variable("credentials_file", self.target["credentials_file"])
        return boto3.Session(botocore_session=core, region_name=self.target["region"])

    def identity(self) -> str:
        """The account id, by STS."""
        return str(self._call("sts", "get_caller_identity")["Account"])

    def zones(self) -> Sequence[str]:
        """Zones of the environment."""
        return tuple(self._places)

    def instances(self, zone: str | None = None) -> list[Machine]:
        """Those with the environment's tag, by their Name."""
        found = []
        for homes in self._homes(zone).values():  # one call a region
            places = {self._places[home]["availability_zone"]: home for home in homes}
            filters = [*self._tagged(), _filter("availability-zone", *places)]
            rows = self._rows("ec2", "describe_instances", "Reservations", homes[0], Filters=filters)
            some = [one for row in rows for one in row["Instances"] if one["State"]["Name"] not in _GONE]
            found += [_machine(one, places[one["Placement"]["AvailabilityZone"]]) for one in some]
        return sorted(found, key=lambda one: (one.zone, one.node))

    def rehearse(self, act: Act, saved: Mapping[str, Any]) -> None:
        """Dry runs of EC2; Route 53 and ELBv2 have none: there a right that is missing shows in the act."""
        zone = str(saved.get("zone") or "")
        if act == "stop":
            for name in ("stop_instances", "start_instances"):
                self._dry(name, zone, InstanceIds=list(saved["ids"]))
        if act == "isolate":
            for one in saved["subnets"]:
                self._dry("create_network_acl", zone, VpcId=one["vpc"], TagSpecifications=_made_for("rehearsal"))
                link = self._associations([one["id"]], zone)[one["id"]][0]
                self._dry("replace_network_acl_association", zone, AssociationId=link, NetworkAclId=one["acl"])
                self._dry("delete_network_acl", zone, NetworkAclId=one["acl"])

    def stop(self, ids: Sequence[str]) -> None:
        """Force, without a clean shutdown: an unplanned loss."""
        for zone, some in self._by_zone(ids).items():
            self._call("ec2", "stop_instances", zone, InstanceIds=some, Force=True)

    def start(self, ids: Sequence[str]) -> None:
        """Start those that are stopped."""
        states = self.states(ids)
        stopped = [one for one in ids if states.get(one) == "stopped"]
        for zone, some in self._by_zone(stopped).items():
            self._call("ec2", "start_instances", zone, InstanceIds=some)

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """State by id; one that is not there is `gone`."""
        found = dict.fromkeys(ids, "gone")
        for zone, some in self._by_zone(ids).items():
            for row in self._rows("ec2", "describe_instances", "Reservations", zone, InstanceIds=some):
                found |= {one["InstanceId"]: one["State"]["Name"] for one in row["Instances"]}
        return found

    def suspended(self, ids: Sequence[str]) -> list[Saved]:
        """The groups of these instances, with those of REPLACING that run now."""
        found = []
        for zone, some in self._by_zone(ids).items():
            rows = self._rows(
                "autoscaling", "describe_auto_scaling_instances", "AutoScalingInstances", zone, InstanceIds=some
            )
            for group in sorted({row["AutoScalingGroupName"] for row in rows}):
                off = self._suspended(group, zone)
                found.append({"zone": zone, "group": group, "processes": [one for one in REPLACING if one not in off]})
        return [one for one in found if one["processes"]]

    def suspend(self, saved: Mapping[str, Any]) -> None:
        """Suspend the saved processes of a group."""
        self._scaling("suspend_processes", saved)

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Resume them."""
        self._scaling("resume_processes", saved)

    def still_suspended(self, saved: Mapping[str, Any]) -> list[str]:
        """Which of them are suspended now."""
        return sorted(set(saved["processes"]) & self._suspended(saved["group"], saved["zone"]))

    def border(self, zone: str) -> Saved:
        """The network ACL of each tagged subnet of the zone."""
        if zone not in self._places:
            return {"zone": zone, "subnets": []}
        filters = [*self._tagged(), _filter("availability-zone", self._places[zone]["availability_zone"])]
        rows = self._rows("ec2", "describe_subnets", "Subnets", zone, Filters=filters)
        acls = self._associations([row["SubnetId"] for row in rows], zone)
        subnets = [{"id": row["SubnetId"], "vpc": row["VpcId"], "acl": acls[row["SubnetId"]][1]} for row in rows]
        return {"zone": zone, "subnets": subnets}

    def isolate(self, saved: Mapping[str, Any], tag: str) -> None:
        """A network ACL of our own, which denies everything, in the place of the former one of each subnet."""
        made: dict[str, str] = {}
        for one in saved["subnets"]:
            acl = made.get(one["vpc"]) or self._deny_all(one["vpc"], saved["zone"], tag)
            made[one["vpc"]] = acl
            self._associate(one["id"], acl, saved["zone"])

    def restore(self, saved: Mapping[str, Any], tag: str) -> None:
        """Give each subnet its former ACL, then delete ours."""
        now = self._associations([one["id"] for one in saved["subnets"]], saved["zone"])
        for one in saved["subnets"]:
            if now[one["id"]][1] != one["acl"]:
                self._associate(one["id"], one["acl"], saved["zone"])
        for acl in self._ours(tag, saved["zone"]):
            self._call("ec2", "delete_network_acl", saved["zone"], NetworkAclId=acl)

    def not_restored(self, saved: Mapping[str, Any], tag: str) -> list[str]:
        """Subnets with another ACL than the saved one, and ACLs of ours."""
        left = [f"{acl} is still there" for acl in self._ours(tag, saved["zone"])]
        now = self._associations([one["id"] for one in saved["subnets"]], saved["zone"])
        for one in saved["subnets"]:
            if (acl := now[one["id"]][1]) != one["acl"]:
                left.append(f"{one['id']} has {acl}, had {one['acl']}")
        return left

    def record(self, name: str) -> Saved:
        """The address sets of a name in the environment's hosted zone."""
        zone_id = self.target["zone_id"]
        answer = self._call(
            "route53", "list_resource_record_sets", HostedZoneId=zone_id, StartRecordName=name, StartRecordType="A"
        )
        rows = [row for row in answer["ResourceRecordSets"] if row["Name"].rstrip(".") == name and row["Type"] == "A"]
        return {"zone_id": zone_id, "name": name, "sets": {row.get("SetIdentifier", ""): _plain(row) for row in rows}}

    def switch(self, saved: Mapping[str, Any], weights: Mapping[str, int]) -> None:
        """UPSERT every set of the record with its weight."""
        batch = _awscli.change_batch(saved, weights)
        self._call("route53", "change_resource_record_sets", HostedZoneId=saved["zone_id"], ChangeBatch=batch)

    def targets(self, group: str, zone: str | None = None) -> list[RoutedTarget]:
        """Registered ones; draining ones are on their way out and left out."""
        home, arn = self._group(group)
        if not arn:
            return []
        rows = self._call("elbv2", "describe_target_health", home, TargetGroupArn=arn)["TargetHealthDescriptions"]
        kept = [row["Target"] for row in rows if row["TargetHealth"].get("Reason") not in _awscli.LEAVING]
        found = [RoutedTarget(row["Id"], int(row["Port"])) for row in kept]
        if zone is not None:
            here = {one.id for one in self.instances(zone)}
            found = [one for one in found if one.id in here]
        return sorted(found, key=lambda one: one.id)

    def deregister(self, group: str, targets: Sequence[Mapping[str, Any]]) -> None:
        """Out of the group."""
        self._routed("deregister_targets", group, targets)

    def register(self, group: str, targets: Sequence[Mapping[str, Any]]) -> None:
        """Into the group."""
        self._routed("register_targets", group, targets)

    def by_hand(self, verb: str, args: Mapping[str, Any]) -> str | None:
        """By the AWS CLI, with the keys that the target names; None where it is not on the path."""
        if shutil.which("aws") is None:
            return None
        return _awscli.command(verb, self.target, args, self._region)

    def _routed(self, act: str, group: str, targets: Sequence[Mapping[str, Any]]) -> None:
        home, arn = self._group(group)
        if not arn:
            raise CloudError(f"aws: there is no target group {group}")
        rows = [{"Id": one["id"], "Port": one["port"]} for one in targets]
        self._call("elbv2", act, home, TargetGroupArn=arn, Targets=rows)

    def _group(self, group: str) -> tuple[str, str]:
        """(a zone of its region, its ARN) of a target group; empty where there is none of that name."""
        for homes in self._homes().values():
            rows = self._rows("elbv2", "describe_target_groups", "TargetGroups", homes[0])
            for row in rows:
                if row["TargetGroupName"] == group:
                    return homes[0], str(row["TargetGroupArn"])
        return "", ""

    def _homes(self, zone: str | None = None) -> dict[str, list[str]]:
        """Our zones (or one of them) by their region."""
        found: dict[str, list[str]] = {}
        for one, place in self._places.items():
            if zone in (None, one):
                found.setdefault(place["region"], []).append(one)
        return found

    def _scaling(self, act: str, saved: Mapping[str, Any]) -> None:
        group, processes = saved["group"], list(saved["processes"])
        self._call("autoscaling", act, saved["zone"], AutoScalingGroupName=group, ScalingProcesses=processes)

    def _suspended(self, group: str, zone: str) -> set[str]:
        answer = self._call("autoscaling", "describe_auto_scaling_groups", zone, AutoScalingGroupNames=[group])
        return {
            row["ProcessName"] for found in answer["AutoScalingGroups"] for row in found.get("SuspendedProcesses", ())
        }

    def _deny_all(self, vpc: str, zone: str, tag: str) -> str:
        made = self._call("ec2", "create_network_acl", zone, VpcId=vpc, TagSpecifications=_made_for(tag))
        acl = str(made["NetworkAcl"]["NetworkAclId"])
        # a new ACL denies everything anyway; said by rules of its own, it also shows to whoever looks
        for egress in (False, True):
            rule: dict[str, Any] = {"RuleNumber": 1, "Protocol": "-1", "RuleAction": "deny", "Egress": egress}
            self._call("ec2", "create_network_acl_entry", zone, NetworkAclId=acl, CidrBlock="0.0.0.0/0", **rule)
        return acl

    def _ours(self, tag: str, zone: str) -> list[str]:
        rows = self._rows(
            "ec2", "describe_network_acls", "NetworkAcls", zone, Filters=[_filter(f"tag:{MADE_FOR}", tag)]
        )
        return [str(row["NetworkAclId"]) for row in rows]

    def _associations(self, subnets: Sequence[str], zone: str) -> dict[str, tuple[str, str]]:
        """(association, ACL) of each subnet now: an association gets a new id with each change."""
        if not subnets:
            return {}
        filters = [_filter("association.subnet-id", *subnets)]
        rows = self._rows("ec2", "describe_network_acls", "NetworkAcls", zone, Filters=filters)
        found = {
            one["SubnetId"]: (str(one["NetworkAclAssociationId"]), str(row["NetworkAclId"]))
            for row in rows
            for one in row["Associations"]
        }
        if left := [one for one in subnets if one not in found]:
            raise CloudError(f"aws: subnet {left[0]} has no network ACL; is it still there?")
        return found

    def _associate(self, subnet: str, acl: str, zone: str) -> None:
        link = self._associations([subnet], zone)[subnet][0]
        self._call("ec2", "replace_network_acl_association", zone, AssociationId=link, NetworkAclId=acl)

    def _by_zone(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """Ids by a zone of their region: an id says nothing of where it lives."""
        regions = self._homes()
        if len(regions) < 2:
            return {next(iter(self._places)): list(ids)} if ids else {}
        homes = {one.id: regions[self._region(one.zone)][0] for one in self.instances()}
        found: dict[str, list[str]] = {}
        for one in ids:
            if one in homes:
                found.setdefault(homes[one], []).append(one)
        return found

    def _tagged(self) -> list[dict[str, Any]]:
        tag = self.target.get("tag")
        return [_filter(f"tag:{tag['key']}", tag["value"])] if tag else []

    def _region(self, zone: str) -> str:
        return str(self._places.get(zone, {}).get("region") or self.target["region"])

    def _client(self, service: str, zone: str) -> Any:  # noqa: ANN401 - made of JSON by boto3
        key = (service, self._region(zone))
        if key not in self._clients:
            self._clients[key] = self._session.client(
                service, region_name=key[1], endpoint_url=self.target.get("endpoint"), config=_CONFIG
            )
        return self._clients[key]

    def _call(self, service: str, name: str, zone: str = "", **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        return _answered(service, name, lambda: getattr(self._client(service, zone), name)(**arguments))

    def _rows(self, service: str, name: str, key: str, zone: str, **arguments: Any) -> list[Any]:  # noqa: ANN401 - JSON
        def ask() -> list[Any]:
            pages = self._client(service, zone).get_paginator(name)
            return [row for page in pages.paginate(**arguments) for row in page[key]]

        return _answered(service, name, ask)

    def _dry(self, name: str, zone: str, **arguments: Any) -> None:  # noqa: ANN401 - JSON
        try:
            self._call("ec2", name, zone, DryRun=True, **arguments)
        except CloudError as error:
            if isinstance(error, Denied):
                raise
            # any other refusal (a state, a default ACL that cannot be deleted) came after the account was let in


def _answered[T](service: str, name: str, ask: Callable[[], T]) -> T:
    action = f"{_PREFIX.get(service, service)}:{''.join(word.capitalize() for word in name.split('_'))}"
    try:
        return ask()
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in DENIED:
            raise Denied(f"aws: this account may not do {action} ({code}); see docs/guides/cloud.md") from error
        raise CloudError(f"aws: {action} failed: {code}: {said}") from error
    except BotoCoreError as error:
        raise CloudError(f"aws: {action} failed: {error}") from error


def _machine(row: Mapping[str, Any], zone: str) -> Machine:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}
    return Machine(row["InstanceId"], tags.get("Name", row["InstanceId"]), zone, row["State"]["Name"])


def _plain(row: Mapping[str, Any]) -> Saved:
    values = [one["Value"] for one in row.get("ResourceRecords", ())]
    return {"weight": row.get("Weight"), "ttl": row.get("TTL"), "values": values}


def _filter(name: str, *values: str) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}


def _made_for(tag: str) -> list[dict[str, Any]]:
    tags = [{"Key": "Name", "Value": "muster-deny-all"}, {"Key": MADE_FOR, "Value": tag}]
    return [{"ResourceType": "network-acl", "Tags": tags}]
