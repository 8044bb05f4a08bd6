"""Undo in a cluster, each with the kubeconfig, context and uid that were in force; no recipe holds a token.

A kubeconfig that leads to another cluster now is no way to undo anything: it is said, and nothing is ordered.
"""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import urlsplit

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext import httpjson
from chaoslib_ext.cluster import MERGE, STRATEGIC, Cluster, Place, connect
from chaoslib_ext.cluster_objects import Object, Workload
from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb, accepts
from drills.errors import MusterError

REVISION = "controller-revision-hash"


class Settle:
    """`kubernetes.settle` {kind, namespace, name, ready, pods, updated}: its owner makes the pods; wait."""

    def undo(self, args: Args) -> None:
        """Nothing to order: only its owner makes pods."""

    def observe(self, args: Args) -> str:
        """It has as many ready pods as before, none too many, and says so itself."""
        cluster, workload = _cluster(args), _workload(args)
        seen = _read(cluster, workload.path)
        if seen is None:
            return f"{workload.reference} is gone, and its pods with it"
        status, wanted = seen.get("status") or {}, int(args["ready"])
        pods = _pods(cluster, workload, seen)
        count = min(sum(map(objects.ready, pods)), int(status.get("readyReplicas", status.get("numberReady")) or 0))
        if count < wanted:
            raise NotUndone(f"{workload.reference} has {count} of {wanted} pods ready")
        most = max(int(args["pods"]), int(seen["spec"].get("replicas") or 0))
        if len(pods) > most:
            raise NotUndone(f"{workload.reference} has {len(pods)} pods, {most} are wanted")
        behind = int(status.get("observedGeneration") or 0) < int(seen["metadata"].get("generation") or 0)
        if behind or int(status.get("updatedReplicas") or 0) < min(int(args["updated"]), most):
            raise NotUndone(f"{workload.reference} is still being rolled")
        return f"{workload.reference} has {count} pods ready"

    def by_hand(self, args: Args) -> str:
        """Wait as kubectl does."""
        field = "numberReady" if args["kind"] == "DaemonSet" else "readyReplicas"
        if not args["ready"]:
            return _kubectl(args, "get", _workload(args).reference)
        wait = f"--for=jsonpath={{.status.{field}}}={int(args['ready'])}"
        return _kubectl(args, "wait", _workload(args).reference, wait, "--timeout=120s")


class Schedulable:
    """`kubernetes.schedulable` {node}: pods may go to it again."""

    def undo(self, args: Args) -> None:
        """Uncordon it."""
        _patch(args, objects.node_path(args["node"]), {"spec": {"unschedulable": None}})

    def observe(self, args: Args) -> str:
        """The node says so, and the node controller took its taint away."""
        node = _read(_cluster(args), objects.node_path(args["node"]))
        if node is None:
            return f"node {args['node']} is gone"
        if node["spec"].get("unschedulable"):
            raise NotUndone(f"node {args['node']} is still cordoned")
        if any(one["key"] == objects.UNSCHEDULABLE for one in objects.taints(node)):
            raise NotUndone(f"node {args['node']} still has the taint of its cordon")
        return f"node {args['node']} takes pods"

    def by_hand(self, args: Args) -> str:
        """Uncordon it with kubectl."""
        return _kubectl(args, "uncordon", args["node"])


class NodeReady:
    """`kubernetes.node_ready` {node}: a node whose power is back says so; its kubelet does that, we only wait."""

    def undo(self, args: Args) -> None:
        """Nothing to order."""

    def observe(self, args: Args) -> str:
        """Its condition Ready is true."""
        node = _read(_cluster(args), objects.node_path(args["node"]))
        if node is not None and not objects.ready(node):
            raise NotUndone(f"node {args['node']} is not ready yet")
        return f"node {args['node']} is ready"

    def by_hand(self, args: Args) -> str:
        """Wait as kubectl does."""
        return _kubectl(args, "wait", f"node/{args['node']}", "--for=condition=Ready", "--timeout=120s")


class Untaint:
    """`kubernetes.untaint` {node, key, effect}: this taint goes, those of others stay."""

    def undo(self, args: Args) -> None:
        """Take it out of the list as it is now; a conflict with others is one more try of the guardian."""
        path = objects.node_path(args["node"])
        node = _read(_cluster(args), path)
        if node is None:
            return
        rest = [one for one in objects.taints(node) if not _is(one, args)]
        if len(rest) < len(objects.taints(node)):
            version = {"resourceVersion": node["metadata"]["resourceVersion"]}
            _patch(args, path, {"metadata": version, "spec": {"taints": rest or None}})

    def observe(self, args: Args) -> str:
        """The node does not have it."""
        node = _read(_cluster(args), objects.node_path(args["node"]))
        if node is not None and any(_is(one, args) for one in objects.taints(node)):
            raise NotUndone(f"node {args['node']} still has the taint {args['key']}:{args['effect']}")
        return f"node {args['node']} has no taint {args['key']}:{args['effect']}"

    def by_hand(self, args: Args) -> str:
        """Take it away with kubectl."""
        return _kubectl(args, "taint", "node", args["node"], f"{args['key']}:{args['effect']}-")


class DeletePod:
    """`kubernetes.delete_pod` {namespace, name}: a pod that we made ourselves."""

    def undo(self, args: Args) -> None:
        """Delete it; one that is not there is fine."""
        path = objects.pods_path(args["namespace"], args["name"])
        _taken(_cluster(args), "DELETE", path, {"gracePeriodSeconds": 0}, missing_ok=True)

    def observe(self, args: Args) -> str:
        """It is not there."""
        if _read(_cluster(args), objects.pods_path(args["namespace"], args["name"])) is not None:
            raise NotUndone(f"pod {args['name']} is still there")
        return f"there is no pod {args['name']}"

    def by_hand(self, args: Args) -> str:
        """Delete it with kubectl."""
        return _kubectl(args, "delete", "pod", args["name"], "--ignore-not-found", "--now")


class Scale(Settle):
    """`kubernetes.scale` {…as settle, replicas}: the former number of replicas."""

    def undo(self, args: Args) -> None:
        """Set it."""
        _patch(args, f"{_workload(args).path}/scale", {"spec": {"replicas": int(args["replicas"])}})

    def observe(self, args: Args) -> str:
        """The number stands, and the pods are there."""
        workload = _workload(args)
        seen = _read(_cluster(args), workload.path)
        if seen is not None and seen["spec"].get("replicas") != int(args["replicas"]):
            raise NotUndone(
                f"{workload.reference} wants {seen['spec'].get('replicas')} replicas, not {args['replicas']}"
            )
        return super().observe(args)

    def by_hand(self, args: Args) -> str:
        """Scale it with kubectl, and wait."""
        command = _kubectl(args, "scale", _workload(args).reference, f"--replicas={int(args['replicas'])}")
        return f"{command} && {super().by_hand(args)}"


class Template(Settle):
    """`kubernetes.template` {…as settle, patch, revision}: what we changed in a pod template, back as it was.

    Only what we changed is kept and put back: a template may hold what must not be written down, and others may have
    changed the rest since.
    """

    def undo(self, args: Args) -> None:
        """Patch it back; a StatefulSet waits for ever on a pod that never gets ready, so such a pod is deleted."""
        workload = _workload(args)
        _patch(args, workload.path, args["patch"], kind=STRATEGIC)
        if workload.kind != "StatefulSet":
            return
        cluster = _cluster(args)
        for pod in _pods(cluster, workload, _read(cluster, workload.path)):
            if objects.labels_of(pod).get(REVISION) != args["revision"] and not objects.ready(pod):
                _taken(cluster, "DELETE", objects.pods_path(workload.namespace, objects.name_of(pod)), missing_ok=True)

    def observe(self, args: Args) -> str:
        """To patch it once more would change nothing, and its pods are there."""
        cluster, workload = _cluster(args), _workload(args)
        seen = _read(cluster, workload.path)
        if seen is not None:
            status, would = cluster.call("PATCH", f"{workload.path}?dryRun=All", args["patch"], kind=STRATEGIC)
            if status != 200 or objects.template_hash(would) != objects.template_hash(seen):
                raise NotUndone(f"the template of {workload.reference} is not as it was")
        return super().observe(args)

    def by_hand(self, args: Args) -> str:
        """Patch it with kubectl, delete what hangs, and wait."""
        workload, patch = _workload(args), json.dumps(args["patch"])
        command = _kubectl(args, "patch", workload.reference, "--type=strategic", "-p", patch)
        rolled = _kubectl(args, "rollout", "status", workload.reference, "--timeout=120s")
        if workload.kind != "StatefulSet" or not args.get("broken"):
            return f"{command} && {rolled}"
        other = f"{args['selector']},{REVISION}!={args['revision']}"
        return f"{command} && {_kubectl(args, 'delete', 'pods', '-l', other, '--wait=false')} && {rolled}"


VERBS: dict[str, Verb] = {
    "kubernetes.settle": Settle(),
    "kubernetes.schedulable": Schedulable(),
    "kubernetes.node_ready": NodeReady(),
    "kubernetes.untaint": Untaint(),
    "kubernetes.delete_pod": DeletePod(),
    "kubernetes.scale": Scale(),
    "kubernetes.template": Template(),
}


def _cluster(args: Args) -> Cluster:
    """The very cluster of the recipe. Raises NotUndone where the kubeconfig leads elsewhere, httpjson.Unreachable."""
    cluster = connect(Place(args["kubeconfig"], args["context"], args["uid"], embedded=False, said_by="the ledger"))
    try:
        status, answer = cluster.call("GET", "/api/v1/namespaces/kube-system")
    except MusterError as error:
        raise _gone(args, str(error)) from error
    seen = str(answer["metadata"]["uid"]) if status == 200 else f"answering {status}: {answer}"
    if seen != args["uid"]:
        raise NotUndone(f"context {args['context']} of {args['kubeconfig']} is {seen}, not cluster {args['uid']}")
    return cluster


def _gone(args: Args, why: str) -> Exception:
    """What a kubeconfig that cannot be used means: on this host, a cluster that ended took its file with it."""
    parts = urlsplit(str(args["server"]))
    if httpjson.is_loopback(parts.hostname or "") and not accepts(parts.netloc):
        return httpjson.Unreachable(str(args["server"]), why, refused=True)
    return NotUndone(why)


def _read(cluster: Cluster, path: str) -> dict[str, Any] | None:
    status, answer = cluster.call("GET", path)
    if status == 404:
        return None
    if status != 200 or not isinstance(answer, dict):
        raise NotUndone(f"GET {path} answered {status}: {answer}")
    return answer


def _pods(cluster: Cluster, workload: Workload, seen: Object | None) -> list[dict[str, Any]]:
    try:
        return objects.pods_of(cluster, workload, seen)
    except MusterError as error:
        raise NotUndone(str(error)) from error


def _patch(args: Args, path: str, patch: object, *, kind: str = MERGE) -> None:
    _taken(_cluster(args), "PATCH", path, patch, kind=kind, missing_ok=True)


def _taken(
    cluster: Cluster, method: str, path: str, body: object = None, *, kind: str | None = None, missing_ok: bool
) -> None:
    status, answer = cluster.call(method, path, body, kind=kind)
    if status >= 300 and not (missing_ok and status == 404):
        raise NotUndone(f"{method} {path} answered {status}: {answer}")


def _workload(args: Args) -> Workload:
    return Workload(str(args["kind"]), str(args["namespace"]), str(args["name"]))


def _is(taint: Object, args: Args) -> bool:
    return bool(taint["key"] == args["key"] and taint["effect"] == args["effect"])


def _kubectl(args: Args, *words: str) -> str:
    where = ["--kubeconfig", args["kubeconfig"], "--context", args["context"]]
    space = ["-n", args["namespace"]] if "namespace" in args else []
    return shlex.join(["kubectl", *where, *space, *map(str, words)])
