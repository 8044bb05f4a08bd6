"""What the sandbox's places are called in AWS, and what its cloud is called by everybody."""

ACCOUNT = "123456789012"
"""moto's account."""

REGIONS = {"tyo": "ap-northeast-1", "sgp": "ap-southeast-1"}

LETTERS = {"ap-northeast-1": {"a": "a", "b": "c", "c": "d"}}
"""Availability zones that are not called as our zones are: Tokyo has no b for new accounts."""

ACCESS_KEY = "muster-sandbox"
"""Both keys: moto takes any, and these cannot be mistaken for a real account's."""

PROFILE = "sandbox"
HOSTED_ZONE = "exchange.test"
RECORD = "api.exchange.test"
RECORD_TTL_S = 5
BALANCER = "exchange"
GROUP = "gateway"
"""Name of the Auto Scaling group, and what the names of its target groups begin with."""

TAG = "muster:environment"
"""Tag of everything that belongs to the drilled world; a policy may allow acts on nothing else."""

TAGGED = "sandbox"
SERVICE = "cloud"


def availability_zone(zone: str) -> str:
    """The availability zone of a zone such as "tyo-b"."""
    region, _, letter = zone.partition("-")
    return REGIONS[region] + LETTERS.get(REGIONS[region], {}).get(letter, letter)


def of_region(region: str, name: str) -> str:
    """A name as it is used in a region: that of the second one is prefixed, as its instances are."""
    return name if region == "tyo" else f"{region}-{name}"
