"""`muster replay`: play a recorded trace and say what the venue made of it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drills.errors import UsageError
from drills.units import parse_duration

if TYPE_CHECKING:
    from chaoslib_ext.supervisor.replaying import Played, Wish

WEB_PORT = 8089


@click.command()
@click.argument("trace_", metavar="TRACE")
@click.option(
    "-e",
    "--environment",
    metavar="ENV",
    default="sandbox",
    show_default=True,
    help="Where to play it: a file of environments/.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, 1000, min_open=True),
    default=1.0,
    show_default=True,
    metavar="X",
    help="Times faster than it was recorded.",
)
@click.option(
    "--amplify",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    metavar="N",
    help="Times as many sessions.",
)
@click.option(
    "--jitter",
    "jitter_ms",
    type=click.FloatRange(0, 60_000),
    default=0.0,
    metavar="MS",
    help="Move each operation of a further session by up to so much.",
)
@click.option(
    "--for",
    "duration",
    metavar="TIME",
    help="How long, such as 60s or 2m; a shorter trace repeats. Without it once.",
)
@click.option(
    "--outage",
    type=click.Choice(["drop", "queue", "retry-idempotent"]),
    default="retry-idempotent",
    show_default=True,
    help="What clients do while they get no answer.",
)
@click.option(
    "--transform",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML with steps, as of `muster trace transform`.",
)
@click.option("--sessions", type=click.IntRange(1), metavar="N", help="Fold the trace onto so many sessions.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="The same seed gives the same load.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share the sessions.",
)
@click.option(
    "--web-ui",
    "web_port",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=WEB_PORT,
    metavar="[PORT]",
    help=f"Show Locust's page on 127.0.0.1 meanwhile; PORT is {WEB_PORT} if left out.",
)
@click.option("--csv", metavar="PREFIX", help="Write Locust's CSV files.")
@click.option("--html", metavar="FILE", help="Write Locust's HTML report.")
@click.option(
    "--venue-type",
    type=click.Choice(["sandbox", "sandbox-binary"]),
    help="Speak to the sandbox in JSON or in its binary protocol.",
)
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that the run is kept in.",
)
@click.option(
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Play nothing; write a LocustTest for Locust's Kubernetes operator.",
)
@click.option("--image", metavar="IMAGE", help="Container image of the manifest, with muster in it.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print the outcome.")
def command(
    trace_: str,
    environment: str,
    duration: str | None,
    transform: Path | None,
    web_port: int | None,
    csv: str | None,
    html: str | None,
    venue_type: str | None,
    runs: Path,
    manifest: Path | None,
    image: str | None,
    output: str,
    **load: Any,  # noqa: ANN401 - fields of LoadConfig
) -> int:
    """Play TRACE, a bundled name or a file, and say what became of every kind of operation, and how fast.

    Without a running sandbox one is started for it and stopped after it. Ctrl-C stops the load and still writes
    everything down. Exits with 0 where the figures count, with 3 where the generator itself spoiled them.
    """
    from chaoslib_ext.supervisor.replaying import Wish
    from loadgen.launch import Face

    if image is not None and manifest is None:
        raise UsageError("--image names the image of a manifest; give --manifest FILE too")
    wish = Wish(
        trace=trace_,
        environment=environment,
        venue_type=venue_type,
        duration_s=_seconds(duration),
        transform=_steps(transform),
        load=load,
        face=Face(web_port or 0, csv, html),
        runs=runs,
    )
    if manifest is not None:
        return _manifest(wish, manifest, image)
    if web_port is not None:
        _free(web_port)
    return _play(wish, output)


def _play(wish: Wish, output: str) -> int:
    from chaoslib_ext.cli.replay_text import Progress
    from chaoslib_ext.supervisor.replaying import play

    progress = Progress(sys.stderr)
    if wish.face.web_port:
        progress.say(f"Locust's page: http://127.0.0.1:{wish.face.web_port}")
    try:
        played = play(wish, progress.say, progress.tick)
    finally:
        progress.close()
    _show(played, wish.environment, output)
    return int(played.code)


def _show(played: Played, environment: str, output: str) -> None:
    from chaoslib_ext.cli.replay_text import summary

    if output == "json":
        import orjson

        data = {**played.outcome.to_dict(), "run": str(played.run.path)}
        click.echo(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())
        return
    here, folder = Path.cwd(), played.run.path
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    for line in summary(played.outcome, Path(environment).stem, shown):
        click.echo(line.rstrip())


def _manifest(wish: Wish, path: Path, image: str | None) -> int:
    from chaoslib_ext.supervisor.replaying import prepared, venue_of
    from loadgen import kubernetes

    environment, seconds = prepared(wish)
    if environment.kind == "embedded":
        raise UsageError("--manifest: pods do not reach the sandbox of this machine; name an environment with -e FILE")
    if image is None:
        raise UsageError("--manifest: name the container image with --image IMAGE")
    made = kubernetes.manifest(wish.trace, image, venue_of(environment), {
        **wish.load,
        "duration_s": seconds,
        "transform": wish.transform,
        "allow": environment.policy.operations,
    })  # fmt: skip
    path.write_text(made.text)
    click.echo(f"{path}: LocustTest {made.name}, a master and {made.workers} worker{'s' if made.workers > 1 else ''}")
    for need in made.needs:
        click.echo(f"the pods need {need}", err=True)
    return 0


def _seconds(duration: str | None) -> float | None:
    try:
        seconds = None if duration is None else parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    if seconds == 0:
        raise UsageError("--for: 0s is no time to play anything; write 60s or 2m")
    return seconds


def _steps(path: Path | None) -> tuple[dict[str, Any], ...]:
    """The steps of a file, checked; as plain data, for the load process reads them again."""
    from chaoslib_ext.cli import trace_transform

    return () if path is None else tuple(trace_transform.steps_of(trace_transform.read_steps(path)))


def _free(port: int) -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError(f"--web-ui: port {port}: {why}; name another, such as --web-ui {port + 1}") from error
