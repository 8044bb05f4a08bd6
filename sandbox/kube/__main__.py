"""`python -m sandbox.kube DIR [--owner-pid PID]`: a control plane in DIR, in the foreground.

Prints one line of JSON, {kubeconfig, server, uid}, when it is ready. Ends on SIGTERM, SIGINT, SIGHUP, and when its
owner (the process that started it, or PID) is gone; then nothing of it is left but DIR/logs.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click
import orjson
import psutil

from sandbox.errors import BadUse, SandboxError
from sandbox.kube.control import ControlPlane, Place
from sandbox.node.processes import end_all, marked, same_process
from sandbox.parts import KUBERNETES, ensure_all

_BEAT_S = 0.2


class _EndError(Exception):
    """Somebody told us to end."""


def _end(_: int, __: FrameType | None) -> None:
    raise _EndError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--owner-pid", type=int, help="End when this process is gone; default: the one that started this.")
def main(folder: Path, owner_pid: int | None) -> None:
    """Run the sandbox's Kubernetes control plane in DIR until told to end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    root = folder.absolute()
    try:
        owner = _owner(owner_pid or os.getppid())
        programs = {found.part: str(found.path) for found in ensure_all(KUBERNETES[:-1], _say)}
        end_all(marked(root))  # of one that was killed where the kernel does not kill the children
        plane = ControlPlane(Place(root / "control", root / "logs", root / "kubeconfig", root), programs)
        try:
            cluster = plane.start()
            shown = {"kubeconfig": str(cluster.kubeconfig), "server": cluster.server, "uid": cluster.uid}
            click.echo(orjson.dumps(shown).decode())
            _watch(plane, owner)
        finally:
            plane.stop()
    except _EndError:
        pass
    except SandboxError as error:
        _say(str(error))
        sys.exit(error.exit_code)


def _watch(plane: ControlPlane, owner: psutil.Process) -> None:
    start = owner.create_time()
    while same_process(owner.pid, start):
        for name in plane.revive():
            _say(f"{name} ended and was started again")
        time.sleep(_BEAT_S)


def _owner(pid: int) -> psutil.Process:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        raise BadUse(f"--owner-pid: there is no process {pid}") from None


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
