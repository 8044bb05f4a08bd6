"""`ec2 stop-instances` until every process of that zone is dead, on the whole sandbox; what a cloud costs at start.

`python -m benchmarks.bench_cloud [N]` writes benchmarks/out/cloud.json. Deaths are seen by pidfd, as they happen. The
peer of the start with a cloud is the start without one in the same run.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import boto3

from benchmarks.bench_start import seconds
from benchmarks.results import Figure, write
from sandbox.agent_client import instances

ZONE = "tyo-a"
STARTS = 3
BY_CLI = 5
SANDBOX = [sys.executable, "-m", "sandbox"]


def stop_to_dead_ms(told: dict[str, Any], stop: Callable[[], object]) -> tuple[float, float]:
    """One stop: milliseconds from before it, and from its return (negative: dead before that), to the last death."""
    pids = [row["pid"] for row in instances(told["agent"]) if row["zone"] == ZONE]
    watched = [os.pidfd_open(pid) for pid in pids]
    began = time.perf_counter()
    stop()
    returned = time.perf_counter()
    for one in watched:
        select.select([one], [], [], 10.0)
    dead = time.perf_counter()
    for one in watched:
        os.close(one)
    return (dead - began) * 1e3, (dead - returned) * 1e3


def until_ready(told: dict[str, Any]) -> None:
    """Wait until every instance runs and is ready. Raises TimeoutError."""
    deadline = time.monotonic() + 60
    while not all(row["ready"] for row in instances(told["agent"])):
        if time.monotonic() > deadline:
            raise TimeoutError("the sandbox did not get ready again")
        time.sleep(0.05)


def stops(told: dict[str, Any], count: int) -> list[Figure]:
    """Figures of `count` stops by boto3, and a few by the AWS CLI where there is one."""
    aws = told["aws"]
    keys = {"aws_access_key_id": aws["access_key"], "aws_secret_access_key": aws["secret_key"]}
    ec2 = boto3.Session(region_name=aws["region"], **keys).client("ec2", endpoint_url=aws["endpoint"])
    ids = [aws["instances"][ZONE]]

    def again(stop: Callable[[], object]) -> tuple[float, float]:
        took = stop_to_dead_ms(told, stop)
        ec2.start_instances(InstanceIds=ids)
        until_ready(told)
        return took

    until_ready(told)
    values = sorted(again(lambda: ec2.stop_instances(InstanceIds=ids))[0] for _ in range(count))
    p99 = values[min(count - 1, round(0.99 * count))]
    name = f"stop-instances to zone dead, boto3 (n={count})"
    found = [
        Figure(f"{name} {which}", round(value, 1), "ms")
        for which, value in (("p50", statistics.median(values)), ("p99", p99), ("max", values[-1]))
    ]
    if shutil.which("aws"):
        argv = ["aws", "--region", aws["region"], "--endpoint-url", aws["endpoint"], "ec2", "stop-instances"]
        env = {**os.environ, "AWS_SHARED_CREDENTIALS_FILE": aws["credentials_file"], "AWS_PROFILE": aws["profile"]}
        line = [*argv, "--instance-ids", *ids]
        after = [
            again(lambda: subprocess.run(line, env=env, check=True, capture_output=True))[1] for _ in range(BY_CLI)
        ]
        worst = round(max(0.0, *after), 1)
        found.append(Figure(f"aws command's end to zone dead (n={BY_CLI}) max", worst, "ms"))
    return found


def main(count: int = 20) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MUSTER_HOME"] = home
        env = dict(os.environ)
        try:
            seconds([*SANDBOX, "up", "--aws"], env)
            shown = subprocess.run([*SANDBOX, "describe"], env=env, check=True, capture_output=True)
            found = stops(json.loads(shown.stdout), count)
            starts: dict[str, list[float]] = {"": [], "--aws": []}
            for _ in range(STARTS):
                for word, values in starts.items():
                    seconds([*SANDBOX, "down"], env)
                    values.append(seconds([*SANDBOX, "up", *word.split()], env))
        finally:
            seconds([*SANDBOX, "down"], env)
    plain, ours = (statistics.median(values) for values in starts.values())
    found.append(Figure("sandbox up --aws", ours, "s", "sandbox up", ours / plain))
    write("cloud", found)


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:]))
