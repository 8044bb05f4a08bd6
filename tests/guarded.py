"""A run in miniature: `python -m tests.guarded DESCRIBE RUN_DIR FAULT=PARAMS…` injects, says so, and beats.

Its children: one `sleep` as runner, one as load. Prints one JSON line when every fault is in effect.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from chaoslib_ext.faults import build
from chaoslib_ext.guardian.start import GuardianProcess
from chaoslib_ext.world import World
from tests.standins import until


def main(describe: str, run_dir: str, *wanted: str) -> None:
    run = Path(run_dir)
    lease_s, max_s = float(os.environ.get("LEASE", "5")), float(os.environ.get("LONGEST", "60"))
    guardian = GuardianProcess.start(run, ["sandbox"], lease_s=lease_s, max_duration_s=max_s)
    children = [subprocess.Popen(["sleep", "300"]) for _ in range(2)]
    pids = [
        (child.pid, psutil.Process(child.pid).create_time(), role)
        for child, role in zip(children, ("runner", "load"), strict=True)
    ]
    guardian.client.children(pids)
    if "DOWN" in os.environ:
        guardian.client.sandbox(json.loads(os.environ["DOWN"]))
    world = World.from_describe(json.loads(Path(describe).read_text()))
    for number, text in enumerate(wanted):
        name, _, params = text.partition("=")
        fault_id = f"f{number}"
        inject(guardian, world.tagged(run.name, fault_id), fault_id, name, json.loads(params))
        guardian.client.beat()
    if "STANCE" in os.environ:
        guardian.client.stance(os.environ["STANCE"], "recover")
    said = {"guardian": guardian.pid, "children": [child.pid for child in children], "socket": guardian.marker.socket}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    while True:
        time.sleep(0.2)
        if not guardian.alive() and "RESTART" in os.environ:
            guardian.restart()
        if guardian.alive():
            guardian.client.beat()


def inject(guardian: GuardianProcess, world: World, fault_id: str, name: str, params: dict[str, object]) -> None:
    fault = build(name, params)
    targets = fault.targets(world)
    recipes = fault.plan_undo(targets, world)
    guardian.client.intent(
        fault_id,
        name,
        params=params,
        targets=[target.name for target in targets],
        recipes=recipes,
        describe=fault.describe(targets),
        expires_s=fault.expires_s,
    )
    issued = time.monotonic_ns()
    fault.apply(targets, world)
    guardian.client.applied(fault_id, issued)
    witness = until(lambda: fault.in_effect(targets, world))
    guardian.client.in_effect(fault_id, time.monotonic_ns(), witness.texts)


if __name__ == "__main__":
    main(*sys.argv[1:])
