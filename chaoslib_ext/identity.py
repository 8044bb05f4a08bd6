"""Is the live system the one that was named? Compared before anything is touched, one reader a plane.

A plane whose identity is named and cannot be read is refused like one that is another: no proof, no fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from chaoslib_ext import httpjson
from drills.errors import Refused
from drills.model import Environment

Reader = Callable[[Mapping[str, Any]], tuple[str, str] | None]
"""From the description of an environment to (identity, what said so); None where it has no such plane. May raise
OSError, ValueError, KeyError where it does not answer."""

TIMEOUT_S = 5.0
ANOTHER = "%s; nothing was touched"


def fingerprint(proxies: Mapping[str, str]) -> str:
    """The identity of a Toxiproxy: 16 hex digits over its proxies' names and upstreams, whatever their state."""
    lines = "".join(f"{name} {upstream}\n" for name, upstream in sorted(proxies.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _toxiproxy(describe: Mapping[str, Any]) -> tuple[str, str] | None:
    url = describe.get("toxiproxy")
    if not url:
        return None
    status, answer = httpjson.call("GET", f"{str(url).rstrip('/')}/proxies", timeout_s=TIMEOUT_S)
    if status != 200 or not isinstance(answer, dict):
        raise ValueError(f"{url}/proxies answered {status}")
    return fingerprint({name: str(one["upstream"]) for name, one in answer.items()}), f"Toxiproxy at {url}"


def _kubernetes(describe: Mapping[str, Any]) -> tuple[str, str] | None:
    cluster = describe.get("kubernetes")
    if not cluster:
        return None
    from kubernetes import client, config  # half a second, and most runs have no cluster
    from urllib3.exceptions import HTTPError

    api = config.new_client_from_config(config_file=str(cluster["kubeconfig"]), context=cluster.get("context"))
    try:
        found = client.CoreV1Api(api).read_namespace("kube-system", _request_timeout=TIMEOUT_S)
    except (client.ApiException, HTTPError) as error:
        raise ValueError(f"the cluster does not say who it is: {str(error).splitlines()[0]}") from error
    finally:
        api.close()
    return str(found.metadata.uid), f"the cluster at {api.configuration.host}"


def _aws(describe: Mapping[str, Any]) -> tuple[str, str] | None:
    account = describe.get("aws")
    if not account:
        return None
    from boto3 import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    session = Session(
        aws_access_key_id=account.get("access_key"),
        aws_secret_access_key=account.get("secret_key"),
        region_name=account["region"],
    )
    quick = Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"max_attempts": 1})
    try:
        said = session.client("sts", endpoint_url=account.get("endpoint"), config=quick).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise ValueError(f"the account does not say who it is: {error}") from error
    return str(said["Account"]), f"the account behind {account.get('endpoint') or 'AWS'}"


READERS: dict[str, Reader] = {"toxiproxy": _toxiproxy, "kubernetes": _kubernetes, "aws": _aws}
"""How the live identity of each plane is read; a plane of its own adds one."""


def check(environment: Environment, describe: Mapping[str, Any]) -> None:
    """Raise Refused where a live system is not the one that the environment, or the sandbox's own record, names."""
    if environment.kind == "embedded":
        _on_this_host(environment.environment, describe)
    for plane, (wanted, source) in _expected(environment, describe).items():
        reader = READERS.get(plane)
        if reader is None:
            known = ", ".join(sorted(READERS))
            said = f"{source} names an identity of {plane}, which nothing here can read (known: {known})"
            raise Refused("identity", ANOTHER % said)
        try:
            live = reader(describe)
        except (OSError, ValueError, KeyError) as error:
            raise Refused("identity", ANOTHER % f"{plane} cannot be compared with {source}: {error}") from error
        if live is None:
            raise Refused("identity", ANOTHER % f"{source} names {plane} {wanted}, and this environment has none")
        if live[0] != wanted:
            raise _another(plane, f"{source} says {plane} {wanted}, {live[1]} is {live[0]}")


def _expected(environment: Environment, describe: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What each plane must say, and who says so: the environment file before what the sandbox wrote down itself."""
    found: dict[str, tuple[str, str]] = {}
    if environment.kind == "embedded":
        source = "the sandbox's own record"
        if describe.get("toxiproxy") and describe.get("links"):
            links = {str(one["name"]): str(one["upstream"]) for one in describe["links"]}
            found["toxiproxy"] = (fingerprint(links), source)
        for plane, key in (("kubernetes", "uid"), ("aws", "account")):
            if (describe.get(plane) or {}).get(key):
                found[plane] = (str(describe[plane][key]), source)
    return found | {plane: (value, environment.environment) for plane, value in environment.identity.items()}


def _another(plane: str, said: str) -> Refused:
    match plane:
        case "kubernetes":
            return Refused("cluster-identity", ANOTHER % said)
        case "aws":
            return Refused("account-identity", ANOTHER % said)
        case "toxiproxy":
            return Refused("toxiproxy-identity", ANOTHER % said)
    return Refused("identity", ANOTHER % said)


def _on_this_host(name: str, describe: Mapping[str, Any]) -> None:
    for what, url in _controls(describe):
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
        if not httpjson.is_loopback(host):
            said = f"{name} is embedded, and its {what} is at {url}: only this host may be drilled"
            raise Refused("not-loopback", ANOTHER % said)


def _controls(describe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every address through which something may be ordered."""
    for what in ("agent", "toxiproxy"):
        if describe.get(what):
            yield what, str(describe[what])
    for plane, keys in (("kubernetes", ("server",)), ("aws", ("endpoint",)), ("dns", ("address", "admin"))):
        for key in keys:
            if (describe.get(plane) or {}).get(key):
                yield f"{plane} {key}", str(describe[plane][key])
