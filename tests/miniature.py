"""A run in miniature for the crash campaign: supervisor and runner as forks, and its peer under plain `chaos run`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from chaoslib_ext import cloud, cluster
from chaoslib_ext.ctk import injection
from chaoslib_ext.ctk.context import Context
from chaoslib_ext.faults import build
from chaoslib_ext.guardian import verbs
from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.supervisor.guardianship import Guardianship
from chaoslib_ext.world import World
from drills.errors import MusterError

HOLD_S = 0.4
"""How long the fault stays, where nothing happens to its run."""

LONGEST_S = 4.0
"""A run that is not over by then is aborted, as the guard `longest` does: its runner is frozen."""

FAULT = "f0"


@dataclass
class ForkedRunner:
    """The runner as Guardianship wants a child."""

    identity: tuple[int, float, str]


def start(world: World, run_dir: Path, fault: str, params: Mapping[str, Any]) -> tuple[int, int]:
    """Fork a supervisor and its runner; their pids."""
    read, write = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.close(read)
        world = unshared(world)
        _as(lambda: _supervise(world, run_dir, fault, params, write), run_dir)
    os.close(write)
    with os.fdopen(read) as pipe:
        runner = int(pipe.readline() or 0)
    return supervisor, runner


def unshared(world: World) -> World:
    """The same world without the connections that a fork has in common with its parent."""
    cluster.connect.cache_clear()
    cloud.forget()
    return World.from_describe(world.describe)


def reap(pid: int) -> None:
    """Wait for a child of this process, which has been ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _as(work: Any, run_dir: Path) -> None:  # noqa: ANN401 - a function
    """Do it as a process of its own; never return."""
    code = 70
    try:
        os.setsid()
        run_dir.mkdir(parents=True, exist_ok=True)
        log = os.open(run_dir / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = int(work() or 0)
    except (Exception, SystemExit):  # noqa: BLE001 - a fork must never come back into the campaign
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _supervise(world: World, run_dir: Path, fault: str, params: Mapping[str, Any], tell: int) -> int:
    go_r, go_w = os.pipe()
    runner = os.fork()
    if runner == 0:
        os.close(go_w)
        world = unshared(world)
        _as(lambda: _inject(world, run_dir, fault, params, go_r), run_dir)
    os.write(tell, f"{runner}\n".encode())
    os.close(tell)
    asked = _signals()
    guardian = Guardianship(run_dir, [f"sandbox:{world.describe['id']}"], 60.0)
    guardian.adopt(ForkedRunner((runner, psutil.Process(runner).create_time(), "runner")))  # type: ignore[arg-type]
    os.write(go_w, guardian.socket.encode() + b"\n")
    return _turn(guardian, runner, asked)


def _signals() -> int:
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return read


def _turn(guardian: Guardianship, runner: int, asked: int) -> int:
    """As the main loop of a run: restart a dead guardian, see the runner's end, obey an abort, mind the deadline."""
    deadline = time.monotonic() + LONGEST_S
    while True:
        aborted = bool(select.select([asked], [], [], 0.02)[0])
        try:
            if not guardian.alive():
                guardian.restart()
            ended = os.waitpid(runner, os.WNOHANG)[0] != 0
            if ended or aborted or guardian.taken or time.monotonic() > deadline:
                abort(guardian, runner, ended=ended)
                guardian.close()
                return 0
        except MusterError as error:
            print(error, file=sys.stderr)  # noqa: T201 - the log of this run


def abort(guardian: Guardianship, runner: int, *, ended: bool) -> None:
    """Freeze the runner, undo, then end it, and look once more: as a run is aborted."""
    if not ended:
        os.kill(runner, signal.SIGSTOP)
    guardian.undo_all("abort", lambda fault_id: None)
    if not ended:
        os.kill(runner, signal.SIGKILL)
        reap(runner)
    guardian.settle()


def _inject(world: World, run_dir: Path, fault: str, params: Mapping[str, Any], go: int) -> int:
    with os.fdopen(go) as pipe:
        socket = pipe.readline().strip()
    if not socket:
        return 1
    context = Context(run_dir.name, world, GuardianClient(socket), lambda *_, **__: None)
    one = injection.prepare(context, FAULT, fault, dict(params))
    injection.apply(context, [one])
    injection.witness(context, [one])
    time.sleep(HOLD_S)
    context.undo("all", by="the end of the run")
    return 0


# -- the same fault as a plain experiment ------------------------------------------------------------------------------


def peer_command(folder: Path, describe: Path, fault: str, params: Mapping[str, Any]) -> list[str]:
    """Write the experiment and return how plain `chaos run` runs it, rollbacks always."""

    def act(func: str, **arguments: object) -> dict[str, Any]:
        provider = {"type": "python", "module": "tests.miniature", "func": func, "arguments": arguments}
        return {"type": "action", "name": func, "provider": provider}

    do = act("peer_apply", folder=str(folder), describe=str(describe), fault=fault, params=dict(params))
    body = {
        "title": fault,
        "description": "The same act, with the rollback that an experiment of its own would have.",
        "method": [{**do, "pauses": {"after": HOLD_S}}],
        "rollbacks": [act("peer_undo", folder=str(folder))],
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(body))
    chaos = str(Path(sys.executable).with_name("chaos"))
    return [chaos, "--no-version-check", "run", "--rollback-strategy", "always", str(folder / "experiment.yaml")]


def peer_apply(folder: str, describe: str, fault: str, params: Mapping[str, Any]) -> None:
    """The action: as an author of an experiment would do it, who knows beforehand how to undo it."""
    world = World.from_describe(json.loads(Path(describe).read_text())).tagged(Path(folder).name, FAULT)
    built = build(fault, dict(params))
    targets = built.targets(world)
    recipes = built.plan_undo(targets, world)
    (Path(folder) / "recipes.json").write_text(json.dumps(recipes))
    (Path(folder) / "planned").touch()
    built.apply(targets, world)
    (Path(folder) / "applied").touch()


def peer_undo(folder: str) -> None:
    """The rollback."""
    (Path(folder) / "undoing").touch()
    for recipe in reversed(json.loads((Path(folder) / "recipes.json").read_text())):
        verbs.find(recipe["verb"]).undo(recipe["args"])


def mend(recipes: Sequence[Mapping[str, Any]]) -> None:
    """Play recipes without believing in them."""
    for recipe in reversed(recipes):
        with contextlib.suppress(OSError, verbs.NotUndone):
            verbs.find(recipe["verb"]).undo(recipe["args"])


def peer_mend(folder: Path) -> None:
    """Undo for the next one what was left; nobody does that for a user of it."""
    if (folder / "recipes.json").exists():
        mend(json.loads((folder / "recipes.json").read_text()))
