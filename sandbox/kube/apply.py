"""`up --kubernetes`: the manifests are given to the API server, and we wait until it says that they run."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.errors import BadUse, SandboxError
from sandbox.kube.api import Api, ApiError, Object
from sandbox.kube.podspec import HOME

_WORKLOADS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
_LOOK_S = 0.05


def read(folders: Iterable[Path]) -> list[Object]:
    """Every object of the manifests in the folders, in order; raises BadUse for one without a kind or a name."""
    found = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.yaml"))):
        for document in yaml.safe_load_all(path.read_text()):
            if document is None:
                continue
            meta = document.get("metadata") or {}
            if not (document.get("apiVersion") and document.get("kind") and meta.get("name")):
                raise BadUse(f"{path}: an object without apiVersion, kind or metadata.name")
            found.append(document)
    return found


def give(kubeconfig: Path, objects: list[Object]) -> None:
    """Apply the objects; raises BadUse for what the API server refuses."""
    asyncio.run(_with(kubeconfig, lambda api: apply(api, objects)))


def wait(kubeconfig: Path, objects: list[Object], timeout_s: float, alive: Callable[[], bool]) -> None:
    """Wait until the API server says that they all run; raises SandboxError naming one that does not."""
    asyncio.run(_with(kubeconfig, lambda api: until_ready(api, objects, timeout_s, alive)))


async def _with(kubeconfig: Path, act: Callable[[Api], Awaitable[None]]) -> None:
    async with Api.of(kubeconfig) as api:
        await act(api)


async def apply(api: Api, objects: list[Object]) -> None:
    """Make the objects be there as written, again as often as wanted; raises BadUse for what the API server refuses."""
    namespaces = {one["metadata"].get("namespace", HOME) for one in objects} | {HOME}
    for name in sorted(namespaces):
        value = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await api.apply(f"/api/v1/namespaces/{name}", value)
    known: dict[str, dict[str, Object]] = {}
    for one in objects:
        if one["apiVersion"] not in known:
            known[one["apiVersion"]] = await _resources(api, one["apiVersion"])
    try:
        await asyncio.gather(*(api.apply(*_placed(one, known[one["apiVersion"]])) for one in objects))
    except ApiError as error:
        raise BadUse(f"manifests: {error}") from error


async def until_ready(api: Api, objects: list[Object], timeout_s: float, alive: Callable[[], bool]) -> None:
    """Wait until all Deployments and StatefulSets among the objects are as wished; raises SandboxError naming one."""
    deadline = time.monotonic() + timeout_s
    waiting = [one for one in objects if one["kind"] in _WORKLOADS]
    while waiting:
        states = [await api.get(_path(one, "apps/v1", _WORKLOADS[one["kind"]], True)) for one in waiting]
        waiting = [one for one, state in zip(waiting, states, strict=True) if not _is_ready(state)]
        if waiting and (time.monotonic() > deadline or not alive()):
            first = waiting[0]
            where = f"kubectl -n {_namespace(first)} describe {first['kind'].lower()} {first['metadata']['name']}"
            raise SandboxError(f"{first['metadata']['name']}: not ready after {timeout_s:g} s; see {where}")
        if waiting:
            await asyncio.sleep(_LOOK_S)


async def _resources(api: Api, version: str) -> dict[str, Object]:
    """What there is of one API version, by kind."""
    try:
        listed = await api.get(f"/api/{version}" if version == "v1" else f"/apis/{version}")
    except ApiError as error:
        raise BadUse(f"manifests: apiVersion {version!r}: {error}") from error
    return {row["kind"]: row for row in listed["resources"] if "/" not in row["name"]}


def _placed(one: Object, resources: Mapping[str, Object]) -> tuple[str, Object]:
    """Path and object, in its namespace."""
    row = resources.get(one["kind"])
    if row is None:
        raise BadUse(f"manifests: {one['apiVersion']} has no kind {one['kind']!r}")
    meta: dict[str, Any] = dict(one["metadata"])
    if row["namespaced"]:
        meta["namespace"] = _namespace(one)
    return _path(one, one["apiVersion"], row["name"], row["namespaced"]), {**one, "metadata": meta}


def _path(one: Object, version: str, plural: str, namespaced: bool) -> str:
    group = f"/api/{version}" if version == "v1" else f"/apis/{version}"
    inside = f"/namespaces/{_namespace(one)}" if namespaced else ""
    return f"{group}{inside}/{plural}/{one['metadata']['name']}"


def _namespace(one: Object) -> str:
    return str(one["metadata"].get("namespace", HOME))


def _is_ready(state: Object) -> bool:
    wanted, status = state["spec"].get("replicas", 1), state.get("status", {})
    seen = status.get("observedGeneration", 0) >= state["metadata"]["generation"]
    return bool(seen and status.get("readyReplicas", 0) == wanted == status.get("updatedReplicas", 0))
