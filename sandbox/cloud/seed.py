"""Makes the sandbox's world in an empty cloud, through the same interface as everybody uses.

The same sandbox gets the same ids each time, so that a cloud that was restarted is the one that everybody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moto.moto_api._internal import mock_random

from sandbox.cloud import names

_SEED = 20


@dataclass(frozen=True)
class Node:
    """A node of the sandbox: its zone and region, and the gateway that runs there, if any."""

    name: str
    zone: str
    region: str
    gateway: Mapping[str, Any] | None = None


@dataclass
class World:
    """What was made: ids by the names that the sandbox has for them."""

    nodes: tuple[Node, ...]
    vpcs: dict[str, str] = field(default_factory=dict)
    acls: dict[str, str] = field(default_factory=dict)
    subnets: dict[str, str] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    balancers: dict[str, str] = field(default_factory=dict)
    zone_id: str = ""

    def described(self, endpoint: str, credentials: str) -> dict[str, Any]:
        """The cloud as `describe` prints it."""
        first = self.nodes[0].region
        zones = {node.zone: node.region for node in self.nodes}
        return {
            "endpoint": endpoint,
            "region": names.REGIONS[first],
            "account": names.ACCOUNT,
            "profile": names.PROFILE,
            "credentials_file": credentials,
            "access_key": names.ACCESS_KEY,
            "secret_key": names.ACCESS_KEY,
            "tag": {"key": names.TAG, "value": names.TAGGED},
            "zones": {
                zone: {"region": names.REGIONS[region], "availability_zone": names.availability_zone(zone)}
                for zone, region in zones.items()
            },
            "instances": dict(self.instances),
            "subnets": dict(self.subnets),
            "vpc": self.vpcs[first],
            "load_balancer": self.balancers.get(first),
            "target_groups": dict(self.groups),
            "hosted_zone": names.HOSTED_ZONE,
            "zone_id": self.zone_id,
            "record": names.RECORD,
        }


def nodes_of(described: Mapping[str, Any]) -> tuple[Node, ...]:
    """The nodes of a sandbox from its description, one a zone, with the gateways on them."""
    rows = described.get("nodes") or [
        {"name": row["zone"], "zone": row["zone"], "region": row["region"]} for row in described["instances"]
    ]
    gateways = {row["zone"]: row for row in described["instances"] if row["service"] == "gateway"}
    found = {row["zone"]: row for row in rows if row["zone"] and row["region"] in names.REGIONS}
    order = sorted(found.values(), key=lambda row: (list(names.REGIONS).index(row["region"]), row["zone"]))
    return tuple(Node(row["name"], row["zone"], row["region"], gateways.get(row["zone"])) for row in order)


def seed(nodes: Sequence[Node], endpoint: str) -> World:
    """Make the world of these nodes behind `endpoint`; what nothing stands on (gateways) is left out."""
    import boto3

    mock_random.seed(_SEED)
    world = World(tuple(nodes))
    session = boto3.Session(names.ACCESS_KEY, names.ACCESS_KEY)
    for number, region in enumerate(dict.fromkeys(node.region for node in nodes)):
        here = [node for node in nodes if node.region == region]

        def client(name: str, region: str = region) -> Any:  # noqa: ANN401 - made of JSON by boto3
            return session.client(name, region_name=names.REGIONS[region], endpoint_url=endpoint)

        _network(world, client("ec2"), region, here, number)
        _instances(world, client("ec2"), here)
        with_gateway = [node for node in here if node.gateway]
        if with_gateway:
            _scaling(world, client("autoscaling"), region, with_gateway)
            _balancer(world, client("elbv2"), region, here, with_gateway)
    _records(world, session.client("route53", region_name="us-east-1", endpoint_url=endpoint))
    return world


def _tags(name: str) -> list[dict[str, str]]:
    return [{"Key": "Name", "Value": name}, {"Key": names.TAG, "Value": names.TAGGED}]


def _tagged(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": _tags(name)}]


def _network(world: World, ec2: Any, region: str, nodes: Sequence[Node], number: int) -> None:  # noqa: ANN401
    made = ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16", TagSpecifications=_tagged("vpc", f"exchange-{region}"))
    vpc = world.vpcs[region] = made["Vpc"]["VpcId"]
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
    world.acls[region] = next(acl["NetworkAclId"] for acl in acls if acl["IsDefault"])
    for third, node in enumerate(nodes, 1):
        made = ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.{number}.{third}.0/24",
            AvailabilityZone=names.availability_zone(node.zone),
            TagSpecifications=_tagged("subnet", node.zone),
        )
        world.subnets[node.zone] = made["Subnet"]["SubnetId"]


def _instances(world: World, ec2: Any, nodes: Sequence[Node]) -> None:  # noqa: ANN401
    for node in nodes:
        made = ec2.run_instances(
            ImageId="ami-12c6146b",
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=world.subnets[node.zone],
            TagSpecifications=_tagged("instance", node.name),
        )
        world.instances[node.name] = made["Instances"][0]["InstanceId"]


def _scaling(world: World, scaling: Any, region: str, nodes: Sequence[Node]) -> None:  # noqa: ANN401
    launch, group = f"{names.GROUP}-{region}", names.of_region(region, names.GROUP)
    scaling.create_launch_configuration(LaunchConfigurationName=launch, ImageId="ami-12c6146b", InstanceType="m5.large")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=group,
        LaunchConfigurationName=launch,
        MinSize=0,
        MaxSize=2 * len(nodes),
        DesiredCapacity=0,
        VPCZoneIdentifier=",".join(world.subnets[node.zone] for node in nodes),
        Tags=[{"Key": names.TAG, "Value": names.TAGGED, "PropagateAtLaunch": True}],
    )
    ids = [world.instances[node.name] for node in nodes]
    scaling.attach_instances(AutoScalingGroupName=group, InstanceIds=ids)


def _balancer(world: World, elb: Any, region: str, nodes: Sequence[Node], gateways: Sequence[Node]) -> None:  # noqa: ANN401
    made = elb.create_load_balancer(
        Name=names.of_region(region, names.BALANCER),
        Type="network",
        Subnets=[world.subnets[node.zone] for node in nodes],
        Tags=_tags(names.BALANCER),
    )
    world.balancers[region] = made["LoadBalancers"][0]["LoadBalancerArn"]
    ports = gateways[0].gateway["ports"] if gateways[0].gateway else {}
    for port, number in ports.items():
        name = names.of_region(region, f"{names.GROUP}-{port}")
        made = elb.create_target_group(
            Name=name, Protocol="TCP", Port=number, VpcId=world.vpcs[region], Tags=_tags(name), TargetType="instance"
        )
        arn = world.groups[name] = made["TargetGroups"][0]["TargetGroupArn"]
        targets = [
            {"Id": world.instances[node.name], "Port": node.gateway["ports"][port]} for node in gateways if node.gateway
        ]
        elb.register_targets(TargetGroupArn=arn, Targets=targets)
        elb.create_listener(
            LoadBalancerArn=world.balancers[region],
            Protocol="TCP",
            Port=number,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )


def _records(world: World, route53: Any) -> None:  # noqa: ANN401
    made = route53.create_hosted_zone(Name=names.HOSTED_ZONE, CallerReference=names.TAGGED)
    world.zone_id = made["HostedZone"]["Id"].removeprefix("/hostedzone/")
    hosts: dict[str, list[str]] = {}
    for node in world.nodes:
        if node.gateway:
            hosts.setdefault(node.region, []).append(str(node.gateway.get("host") or "127.0.0.1"))
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": names.RECORD,
                "Type": "A",
                "SetIdentifier": region,
                "Weight": 0 if number else 100,
                "TTL": names.RECORD_TTL_S,
                "ResourceRecords": [{"Value": host} for host in dict.fromkeys(found)],
            },
        }
        for number, (region, found) in enumerate(hosts.items())
    ]
    if changes:
        route53.change_resource_record_sets(HostedZoneId=world.zone_id, ChangeBatch={"Changes": changes})
