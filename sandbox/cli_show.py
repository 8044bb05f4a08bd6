"""`status`, `describe`, `env` and `logs`: everything that only looks."""

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

import click

from sandbox.agent_client import agent_process, ask, instances
from sandbox.errors import BadUse, NotUp
from sandbox.home import Box

_FOLLOW_S = 0.2
_NO_SUCH_AWS = "http://127.0.0.1:1"
"""No AWS in this sandbox: a call that was meant for one must not reach a real account."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="What the agent says, as JSON.")
def status(as_json: bool) -> None:
    """Show every instance; exit 3 when nothing is up."""
    shown = described()
    rows = instances(shown["agent"])
    if as_json:
        click.echo(json.dumps({"id": shown["id"], "dir": shown["dir"], "instances": rows}, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    click.echo(f"{'instance':<{width}}  {'service':<16} {'zone':<6} {'pid':>7}  {'phase':<9} {'ready':<5} restarts")
    for row in rows:
        click.echo(
            f"{row['name']:<{width}}  {row['service']:<16} {row['zone'] or '-':<6} {row['pid'] or '-':>7}  "
            f"{row['phase']:<9} {'yes' if row['ready'] else 'no':<5} {row['restarts']}"
        )


@click.command()
def describe() -> None:
    """Print addresses, instances and links as JSON; exit 3 when nothing is up."""
    click.echo(json.dumps(described(), indent=2))


@click.command()
def env() -> None:
    """Print exports for a shell: eval "$(python -m sandbox env)"; exit 3 when nothing is up."""
    shown = described()
    for name, value in exports(shown).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def exports(shown: dict[str, Any]) -> dict[str, str]:
    """The environment by which curl, the AWS CLI and kubectl reach the sandbox, and nothing else by accident."""
    venue = {**shown["venue"], **shown["venue"].get("plain", {})}  # addresses: curl does not know our resolver
    return {
        "MUSTER_SANDBOX_REST": ",".join(venue["rest"]),
        "MUSTER_SANDBOX_WS": ",".join(venue["ws"]),
        "MUSTER_SANDBOX_BINARY": ",".join(venue.get("binary", [])),
        "MUSTER_SANDBOX_AUDIT": ",".join(venue["audit"]),
        "MUSTER_SANDBOX_SECRET_FILE": venue["secret_file"],
        "MUSTER_AGENT": shown["agent"],
        "TOXIPROXY_URL": shown["toxiproxy"] or "",
        "KUBECONFIG": str(Box(Path(shown["dir"])).kubeconfig),
        **_aws(shown.get("aws")),
    }


def _aws(cloud: dict[str, Any] | None) -> dict[str, str]:
    if cloud is None:
        return {"AWS_ENDPOINT_URL": _NO_SUCH_AWS}
    region = cloud["region"]
    return {
        "AWS_ENDPOINT_URL": cloud["endpoint"],
        "AWS_ACCESS_KEY_ID": cloud["access_key"],
        "AWS_SECRET_ACCESS_KEY": cloud["secret_key"],
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
    }


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@click.option("-n", "--lines", default=200, show_default=True, help="How many of the last lines.")
def logs(name: str, follow: bool, lines: int) -> None:
    """Print the log of one instance (or of `agent`), also after `down`."""
    path = Box.here().log_of(name)
    if "/" in name or not path.is_file():
        there = sorted(p.stem for p in path.parent.glob("*.log")) if "/" not in name else []
        raise BadUse(f"logs: no log of {name!r}; there are {', '.join(there) or 'none'}")
    with path.open(errors="replace") as log:
        click.echo("".join(last(log.readlines(), lines)), nl=False)
        while follow:
            if chunk := log.read():
                click.echo(chunk, nl=False)
            else:
                time.sleep(_FOLLOW_S)


def last(lines: list[str], count: int) -> list[str]:
    """The last `count` lines; none for 0."""
    return lines[-count:] if count > 0 else []


def described() -> dict[str, Any]:
    """The sandbox as it is now: on Kubernetes with the pod and the node of every instance. Raises NotUp."""
    box = Box.here()
    state = box.state()
    if state is None or state["describe"]["state"] != "up" or agent_process(box) is None:
        root = os.environ.get("MUSTER_HOME", "the default MUSTER_HOME")
        raise NotUp(f"sandbox: not up (in {root}); start it with `muster sandbox up`")
    found: dict[str, Any] = state["describe"]
    if "kubernetes" in found["features"]:  # pods move: only the agent knows what is where
        found |= ask(found["agent"], "/describe")
    return found
