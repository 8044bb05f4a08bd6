"""The undo of each cloud fault as commands of the AWS CLI, for a person who has nothing but the line that we print."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

LEAVING = ("Target.NotRegistered", "Target.DeregistrationInProgress")
"""Reasons of targets that are listed and yet not registered any more."""

Region = Callable[[str], str]
"""The region of one of our zones."""


def change_batch(saved: Mapping[str, Any], weights: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The change that gives every set of a record its weight, the saved one where none is given."""
    changes = []
    for name, one in saved["sets"].items():
        row: dict[str, Any] = {"Name": saved["name"], "Type": "A", "TTL": one["ttl"]}
        row["ResourceRecords"] = [{"Value": value} for value in one["values"]]
        weight = (weights or {}).get(name, one["weight"])
        if name:
            row["SetIdentifier"] = name
        if weight is not None:
            row["Weight"] = weight
        changes.append({"Action": "UPSERT", "ResourceRecordSet": row})
    return {"Changes": changes}


def command(verb: str, target: Mapping[str, Any], args: Mapping[str, Any], region: Region) -> str | None:
    """One shell command; the keys are those of the profile or file that the target names, else of the shell."""
    make = _COMMANDS.get(verb)
    return None if make is None else f"({_exports(target)}; {make(args, region)})"


def _exports(target: Mapping[str, Any]) -> str:
    values = {
        "AWS_SHARED_CREDENTIALS_FILE": target.get("credentials_file"),
        "AWS_PROFILE": target.get("profile"),
        "AWS_ENDPOINT_URL": target.get("endpoint"),
        "AWS_PAGER": "",
    }
    drop = "" if target.get("endpoint") else "; unset AWS_ENDPOINT_URL"
    named = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items() if value is not None)
    return f"export {named}{drop}"


def _aws(region: str, *words: str) -> str:
    return shlex.join(["aws", "--region", region, *words])


def _start(args: Mapping[str, Any], region: Region) -> str:
    return _aws(region(args["zone"]), "ec2", "start-instances", "--instance-ids", *args["ids"])


def _resume(args: Mapping[str, Any], region: Region) -> str:
    words = ["--auto-scaling-group-name", args["group"], "--scaling-processes", *args["processes"]]
    return _aws(region(args["zone"]), "autoscaling", "resume-processes", *words)


def _border(args: Mapping[str, Any], region: Region) -> str:
    here = region(args["zone"])
    lines = []
    for one in args["subnets"]:
        look = ["--filters", f"Name=association.subnet-id,Values={one['id']}", "--output", "text"]
        query = f"NetworkAcls[].Associations[]|[?SubnetId=='{one['id']}'].NetworkAclAssociationId"
        link = _aws(here, "ec2", "describe-network-acls", *look, "--query", query)
        put = _aws(here, "ec2", "replace-network-acl-association", "--network-acl-id", one["acl"], "--association-id")
        lines.append(f'{put} "$({link})"')
    ours = ["--filters", f"Name=tag:muster,Values={args['tag']}", "--output", "text"]
    made = _aws(here, "ec2", "describe-network-acls", *ours, "--query", "NetworkAcls[].NetworkAclId")
    drop = _aws(here, "ec2", "delete-network-acl", "--network-acl-id")
    return " && ".join([*lines, f'for acl in $({made}); do {drop} "$acl"; done'])


def _record(args: Mapping[str, Any], region: Region) -> str:
    words = ["--hosted-zone-id", args["zone_id"], "--change-batch", json.dumps(change_batch(args))]
    return _aws(region(""), "route53", "change-resource-record-sets", *words)


def _register(args: Mapping[str, Any], region: Region) -> str:
    here = region(args["zone"])
    query = "TargetGroups[0].TargetGroupArn"
    look = ["elbv2", "describe-target-groups", "--names", args["group"], "--query", query, "--output", "text"]
    targets = [f"Id={one['id']},Port={one['port']}" for one in args["targets"]]
    put = _aws(here, "elbv2", "register-targets", "--targets", *targets, "--target-group-arn")
    return f'{put} "$({_aws(here, *look)})"'


_COMMANDS: dict[str, Callable[[Mapping[str, Any], Region], str]] = {
    "cloud.start": _start,
    "cloud.resume_scaling": _resume,
    "cloud.restore_border": _border,
    "cloud.restore_record": _record,
    "cloud.register": _register,
}
