"""`python -m sandbox`: the command line of the exchange in a box.

Data on stdout, talk on stderr; a failure is one line. Exit codes: 0 ok, 2 bad use, 3 not up, 5 refused
(nothing touched), 70 a component failed, 130 interrupted (and cleaned up).
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from sandbox.errors import SandboxError
from sandbox.home import Box
from sandbox.node.source import BUNDLED

_MORE = {"status": "show", "describe": "show", "env": "show", "logs": "show", "parts": "parts", "doctor": "parts"}
"""Commands that live in sandbox/cli_<value>.py and are imported when called."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["up", "down", *_MORE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MORE:
            found = getattr(importlib.import_module(f"sandbox.cli_{_MORE[cmd_name]}"), cmd_name)
            return found if isinstance(found, click.Command) else None
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The exchange in a box: one per checkout, on loopback, without root."""


@cli.command()
@click.option("--plant", default="", metavar="W01,W04", help="Build it with these weaknesses.")
@click.option("--dr", is_flag=True, help="With a second region (sgp) that mirrors the first.")
@click.option("--aws", is_flag=True, help="With a cloud of its own (moto): every node is an EC2 instance.")
@click.option("--netns", is_flag=True, help="Every zone in a network namespace of its own (Linux, CAP_NET_ADMIN).")
@click.option("--json", "as_json", is_flag=True, help="Print what `describe` prints.")
@click.option("--owner-pid", type=int, help="Go down when this process dies.")
@click.option(
    "--manifests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=BUNDLED,
    help="Folder of pod manifests, instead of the bundled exchange.",
)
@click.option(
    "--kubernetes", is_flag=True, help="On its own Kubernetes: API server, scheduler, controllers, a node a zone."
)
def up(
    plant: str,
    dr: bool,
    aws: bool,
    netns: bool,
    kubernetes: bool,
    as_json: bool,
    owner_pid: int | None,
    manifests: Path,
) -> None:
    """Start it, and return when every instance is ready."""
    from sandbox.start import Wish, check_plants, owner_of
    from sandbox.start import up as start

    began = time.monotonic()
    asked = {"kubernetes": kubernetes, "aws": aws, "sgp": dr, "netns": netns}
    wish = Wish(manifests, check_plants(plant), tuple(name for name in asked if asked[name]), owner_of(owner_pid))
    box = Box.here()
    with box.locked():
        described = start(box, wish, lambda line: click.echo(line, err=True))
        fresh = described is not None
        shown = described or (box.state() or {})["describe"]
    if as_json:
        from sandbox.cli_show import described as as_it_is

        click.echo(json.dumps(as_it_is(), indent=2))
    count = len(shown["instances"])
    versions = ", ".join(f"{name} {version}" for name, version in shown["versions"].items())
    took = f"{count} instances ready in {time.monotonic() - began:.1f} s" if fresh else f"already up, {count} instances"
    click.echo(f"sandbox: {took} ({versions})", err=True)
    if told := shown.get("netns"):
        from sandbox.netns.plan import WAYS

        way = WAYS[told["rung"]]
        click.echo(f"sandbox: {len(told['zones'])} zones in network namespaces, packets can be lost by {way}", err=True)


@cli.command()
def down() -> None:
    """End it and everything it started; fine when nothing runs."""
    from sandbox.stop import down as stop

    box = Box.here()
    with box.locked():
        ran = stop(box)
    click.echo("sandbox: down" if ran else "sandbox: nothing was up", err=True)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line and exit; every failure is one line on stderr."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # `up` that is told to end takes down what it began
        signal.signal(number, _interrupt)
    try:
        cli.main(prog_name=os.environ.get("SANDBOX_PROG", "python -m sandbox"), standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except SandboxError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        click.echo(f"{error.filename or 'sandbox'}: {error.strerror or error}", err=True)
        sys.exit(70)
