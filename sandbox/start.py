"""`sandbox up`: ports, configurations, the node agent, the order stream, and patience until all are ready."""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox import links, names, nats, streams
from sandbox.agent_client import agent_process, instances
from sandbox.errors import BadUse, Refused, SandboxError
from sandbox.exchange.plants import KNOWN
from sandbox.home import CHECKOUT, Box, read_json, write_json
from sandbox.node.pods import Pod, parts_of
from sandbox.node.processes import MARK
from sandbox.node.resolve import Resolver
from sandbox.node.source import StaticPods, files
from sandbox.parts import KUBERNETES, PARTS, Found, ensure_all
from sandbox.stop import down
from sandbox.topology import BUS, Topology, describe, lay_out

if TYPE_CHECKING:
    from sandbox.netns.plan import Layout

READY_S = 30.0
_CLUSTER_S = 120.0  # an agent that starts a control plane first
_DEAF_S = 4.0
_REPLICAS = 3
_HOPELESS_RESTARTS = 6


@dataclass(frozen=True)
class Wish:
    """What `up` was asked for; `features` as `describe` names them; `owner_pid` takes it with it when it dies."""

    manifests: Path
    plant: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    owner_pid: int | None = None
    rung: str | None = None
    """With netns: how packets are to be lost, instead of the best way that works here."""

    @property
    def kubernetes(self) -> bool:
        """Whether the API server says what runs where."""
        return "kubernetes" in self.features

    @property
    def ready_s(self) -> float:
        """How long everything may take to get ready; a cloud is two seconds of work before it answers."""
        return READY_S * (2 if "aws" in self.features else 1)


def up(box: Box, wish: Wish, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Start a sandbox and return its description, or None when one is up already. Call with the lock held.

    Raises Refused (with --plant when one is up, a part missing, a port in use), BadUse (a manifest), or
    SandboxError when an instance does not get ready; then everything that was started is ended again.
    """
    state = box.state()
    if state and state["describe"]["state"] == "up" and agent_process(box):
        if wish.plant:
            raise Refused("up: a sandbox is up already and nothing can be planted in it; first: muster sandbox down")
        if missing := set(wish.features) - set(state["describe"]["features"]):
            raise Refused(f"up: the sandbox is up without {', '.join(sorted(missing))}; first: muster sandbox down")
        return None
    pods = StaticPods(wish.manifests, wish.features).pods()
    topology = lay_out(pods, _namespaces(wish, pods) if "netns" in wish.features else None)
    wanted = parts_of(pods)
    needed = [part for part in PARTS if part.name in wanted] + [*(KUBERNETES[:-1] if wish.kubernetes else ())]
    parts = {found.part: found for found in ensure_all(needed, say)}
    down(box)  # what a crash left
    try:
        return _start(box, wish, topology, parts)
    except BaseException:
        down(box)
        raise


def _namespaces(wish: Wish, pods: Sequence[Pod]) -> "Layout":
    """Where the zones will be. Raises Refused where this machine cannot have them."""
    from sandbox.netns import plan, probe

    if wish.kubernetes:
        raise Refused("up: --netns and --kubernetes do not go together: a scheduler moves pods from zone to zone")
    return plan.layout(sorted({pod.zone for pod in pods if pod.zone}), *probe.find(wish.rung))


def _start(box: Box, wish: Wish, topology: Topology, parts: Mapping[str, Found]) -> dict[str, Any]:
    described = _write_files(box, wish, topology, parts)
    resolver = Resolver(box, _state(described, parts))
    for pod in topology.pods:  # a dangling reference is a mistake of the manifest: say it before anything runs
        resolver.runnable(pod)
    agent = _start_agent(box, wish)
    _wait_for_agent(box, agent, _CLUSTER_S if wish.kubernetes else READY_S)
    if topology.netns is not None:
        described["netns"] = (read_json(box.agent_file) or {})["netns"]
    objects = _to_kubernetes(box, wish, described) if wish.kubernetes else []
    if topology.regions():
        asyncio.run(_provision(topology, lambda: agent.poll() is None))
    _wait_until_ready(box, described["agent"], wish.ready_s)
    if wish.kubernetes:
        from sandbox.kube.apply import wait

        wait(box.kubeconfig, objects, wish.ready_s, lambda: agent.poll() is None)
    described["aws"] = read_json(box.aws_file)
    described["state"] = "up"
    write_json(box.state_file, _state(described, parts))
    return described


def _to_kubernetes(box: Box, wish: Wish, described: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the manifests to the API server that the agent has started; the objects."""
    from sandbox.kube.apply import give, read  # what it imports, no other sandbox needs

    described["kubernetes"] = (read_json(box.agent_file) or {})["kubernetes"]
    objects = read(files(wish.manifests, wish.features))
    give(box.kubeconfig, objects)
    return objects


def _state(described: dict[str, Any], parts: Mapping[str, Found]) -> dict[str, Any]:
    return {"describe": described, "parts": {name: found.path for name, found in parts.items()}}


def _write_files(box: Box, wish: Wish, topology: Topology, parts: Mapping[str, Found]) -> dict[str, Any]:
    for folder in (box.logs, box.truth):
        shutil.rmtree(folder, ignore_errors=True)
    box.agent_log.unlink(missing_ok=True)
    for folder in (box.conf, box.data, box.logs, box.truth, *(box.data / pod.name for pod in topology.pods)):
        folder.mkdir(parents=True, exist_ok=True)
    links.write_config(topology.links, box.conf / "toxiproxy.json")
    box.kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    _write_secret(box.secret_file)
    described = describe(topology, box, secrets.token_hex(4), _versions(parts), bool(wish.plant), wish.features)
    described["kubernetes"] = None
    names.prepare(topology, box, described)
    for pod in topology.of_service(BUS):
        nats.write_config(described, pod.name, pod.zone, box.conf, box.data)
    write_json(box.state_file, _state(described, parts))
    return described


def _versions(parts: Mapping[str, Found]) -> dict[str, str]:
    shown = {"nats-server": "nats", "toxiproxy": "toxiproxy", "kube-apiserver": "kubernetes"}
    return {word: parts[name].version or "?" for name, word in shown.items() if name in parts}


def _write_secret(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))


def _start_agent(box: Box, wish: Wish) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "sandbox.node", str(box.root), str(wish.manifests.absolute())]
    if wish.owner_pid is not None:
        argv.append(str(wish.owner_pid))
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), MARK: str(box.root), "MUSTER_PLANT": ",".join(wish.plant)}
    with box.agent_log.open("ab") as log:
        return subprocess.Popen(
            argv, env=env, cwd=box.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


async def _provision(topology: Topology, alive: Callable[[], bool]) -> None:
    """The order stream in the first region, and its mirror in each of the others."""
    home, *others = ((region, topology.addresses(BUS, "client", region)) for region in topology.regions())
    makers: list[tuple[str, Callable[[], Awaitable[None]]]]
    makers = [(f"stream {streams.STREAM}", partial(streams.create, home[1], _replicas(home[1])))]
    for region, bus in others:
        mirror = partial(streams.mirror, bus, _replicas(bus), domain=home[0] or "")
        makers += [(f"mirror {streams.MIRROR} in {region}", _Mirrored(mirror, bus))]
    await asyncio.gather(*(streams.until_made(make, what, READY_S, alive) for what, make in makers))


class _Mirrored:
    """Makes a mirror that hears its origin; one that does not for a while is thrown away and made again.

    On a busy machine it may look for its origin in vain, and then it looks again only after a long time.
    """

    def __init__(self, mirror: Callable[[], Awaitable[None]], bus: Sequence[str]) -> None:
        self._mirror, self._bus = mirror, bus
        self._deaf_since: float | None = None

    async def __call__(self) -> None:
        """Try once; raises TimeoutError where it does not hear yet."""
        await self._mirror()
        if await streams.follows(self._bus):
            return
        now = time.monotonic()
        self._deaf_since = self._deaf_since or now
        if now - self._deaf_since > _DEAF_S:
            self._deaf_since = None
            await streams.throw_away(self._bus)
        raise TimeoutError("it hears nothing of its origin")


def _replicas(bus: Sequence[str]) -> int:
    return min(_REPLICAS, len(bus))


def _wait_for_agent(box: Box, agent: "subprocess.Popen[bytes]", timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not box.agent_file.exists():
        if agent.poll() is not None:
            raise SandboxError(f"agent: ended with {agent.returncode}: {last_line(box.agent_log)}")
        if time.monotonic() > deadline:
            raise SandboxError(f"agent: not there after {timeout_s:g} s; see {box.agent_log}")
        time.sleep(0.01)


def _wait_until_ready(box: Box, agent: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while True:
        waiting = [row for row in instances(agent) if not row["ready"] and not _has_finished(row)]
        if not waiting:
            return
        hopeless = next((row for row in waiting if _is_hopeless(row)), None)
        if hopeless or time.monotonic() > deadline:
            raise SandboxError(_not_ready(box, hopeless or waiting[0], len(waiting)))
        time.sleep(0.03)


def _has_finished(row: Mapping[str, Any]) -> bool:
    """A job (restartPolicy other than Always) that has done its work."""
    return bool(row["phase"] == "stopped" and row["last_exit"] == 0)


def _is_hopeless(row: Mapping[str, Any]) -> bool:
    return bool(row["phase"] == "stopped" or row["restarts"] >= _HOPELESS_RESTARTS)


def _not_ready(box: Box, row: Mapping[str, Any], waiting: int) -> str:
    more = f" (and {waiting - 1} more)" if waiting > 1 else ""
    ended = f", ended {row['restarts']} times, last with {row['last_exit']}" if row["restarts"] else ""
    log = box.log_of(row["name"])
    return f"{row['name']}: does not get ready{ended}{more}: {last_line(log)}; see {log}"


def last_line(log: Path) -> str:
    """The last line with words of a log, for an error message; shortened to 200 characters."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].strip()[:200] if lines else "it said nothing"


def check_plants(text: str) -> tuple[str, ...]:
    """The names in a comma list such as "W01,W04"; raises BadUse for one that no component can be built with."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in KNOWN:
            raise BadUse(f"--plant: {name!r} is not a weakness; known: {', '.join(KNOWN)}")
    return names


def owner_of(value: int | None) -> int | None:
    """The owner's pid, checked to be a process that lives; raises BadUse otherwise."""
    if value is not None and not _lives(value):
        raise BadUse(f"--owner-pid: there is no process {value}")
    return value


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
