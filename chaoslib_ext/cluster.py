"""One Kubernetes cluster of an environment: an explicit client, who it must be, and what we may do there.

The client is made from a named kubeconfig and context, never from what the shell or the home directory happens to
hold, and it never waits without a limit. Objects travel as the JSON of the API: typed models lose the fields that they
do not know, and an undo must put back exactly what was there.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from chaoslib_ext import httpjson
from drills.errors import ComponentError, Refused

TIMEOUT_S = 5.0
"""A healthy API server answers in milliseconds; behind a VPN in some hundred."""

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

NEEDS = "needs-kubernetes"


@dataclass(frozen=True)
class Place:
    """Where a cluster is reached and which one it must be; `said_by` names what says so, for refusals.

    `context` None is the kubeconfig's current one. `services` tells how the pods of a service are found:
    {"matching-engine": {"namespace": "exchange", "selector": "app=engine", "role_label": "role"}}.
    """

    kubeconfig: str
    context: str | None = None
    uid: str | None = None
    namespace: str = "default"
    embedded: bool = True
    said_by: str = "the sandbox"
    services: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False, compare=False)

    @classmethod
    def from_describe(cls, raw: Mapping[str, Any]) -> Place:
        """From `kubernetes` of a description: kubeconfig, uid, namespace, and where it is no sandbox who says so."""
        return cls(
            kubeconfig=str(Path(raw["kubeconfig"]).expanduser()),
            context=raw.get("context"),
            uid=raw.get("uid"),
            namespace=str(raw.get("namespace") or "default"),
            embedded=raw.get("kind", "embedded") == "embedded",
            said_by=str(raw.get("said_by") or "the sandbox"),
            services=dict(raw.get("services") or {}),
        )


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that must be allowed: a verb on a resource (`pods/eviction`), in the namespace or in the whole cluster.

    `name` narrows it to one object.
    """

    verb: str
    resource: str
    group: str = ""
    cluster: bool = False
    name: str | None = None

    def words(self, namespace: str) -> str:
        """Such as: delete pods in exchange."""
        what = self.resource if not self.group else f"{self.resource}.{self.group}"
        return f"{self.verb} {what}" + ("" if self.cluster else f" in {namespace}")


IDENTITY = Permission("get", "namespaces", cluster=True, name="kube-system")
"""Who the cluster is: the uid of this namespace never changes while the cluster lives."""

SEE = (IDENTITY, Permission("list", "nodes", cluster=True), Permission("list", "pods"))
"""What whoever looks at a cluster at all must be allowed."""


def workloads(verb: str) -> tuple[Permission, ...]:
    """A verb on each kind of workload whose pods run for good."""
    return tuple(Permission(verb, kind, "apps") for kind in ("deployments", "statefulsets", "daemonsets"))


class Cluster:
    """Asks and orders one API server. Raises httpjson.Unreachable or ComponentError, never waits without a limit."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @cached_property
    def api(self) -> Any:  # noqa: ANN401 - the client has no types
        """The explicit client of the `kubernetes` package. Raises Refused `cluster-identity` without a usable file."""
        from chaoslib_ext.cluster_client import make

        return make(self.place)

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return str(self.api.configuration.host).rstrip("/")

    @cached_property
    def context(self) -> str:
        """The name of the context in use."""
        from chaoslib_ext.cluster_client import context_name

        return context_name(self.place)

    def call(self, method: str, path: str, body: object = None, *, kind: str | None = None) -> tuple[int, Any]:
        """One request: its status and its JSON. `kind` is the content type of a patch. Raises httpjson.Unreachable."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json"} | ({"Content-Type": kind or "application/json"} if body else {})
        try:
            answer = self.api.call_api(
                path, method, header_params=headers, body=body, auth_settings=["BearerToken"], _preload_content=False
            )
            return int(answer.status), json.loads(answer.data or b"null")
        except ApiException as error:
            if not error.status:  # no answer: the package wraps failures of TLS
                raise httpjson.Unreachable(
                    self.server + path, " ".join(_reason(error).split()), refused=False
                ) from error
            return int(error.status), _reason(error)
        except (HTTPError, ssl.SSLError, OSError) as error:
            refused = "refused" in str(error).lower()
            raise httpjson.Unreachable(self.server + path, _short(error), refused=refused) from error

    def ask(self, method: str, path: str, body: object = None, *, kind: str | None = None) -> tuple[int, Any]:
        """The same for a fault: no answer is a ComponentError."""
        try:
            return self.call(method, path, body, kind=kind)
        except httpjson.Unreachable as error:
            raise ComponentError("kubernetes", str(error)) from error

    def order(self, method: str, path: str, body: object = None, *, kind: str | None = None) -> Any:  # noqa: ANN401
        """A request that must succeed: its JSON. Raises ComponentError."""
        status, answer = self.ask(method, path, body, kind=kind)
        if not 200 <= status < 300:
            raise ComponentError("kubernetes", f"{method} {path} answered {status}: {answer}")
        return answer

    def get(self, path: str) -> dict[str, Any] | None:
        """An object; None where there is none. Raises ComponentError."""
        status, answer = self.ask("GET", path)
        if status == 404:
            return None
        if status != 200 or not isinstance(answer, dict):
            raise ComponentError("kubernetes", f"GET {path} answered {status}: {answer}")
        return answer

    def items(self, path: str, **query: str | None) -> list[dict[str, Any]]:
        """All objects of a list. Raises ComponentError."""
        told = {key: value for key, value in query.items() if value}
        found = self.get(path + (f"?{urlencode(told)}" if told else ""))
        return list((found or {}).get("items") or [])

    def uid(self) -> str:
        """Who the cluster is. Raises Refused `not-permitted`, ComponentError."""
        status, answer = self.call("GET", "/api/v1/namespaces/kube-system")
        if status == 403:
            said = f"the user of {self.place.kubeconfig} may not {IDENTITY.words('')} kube-system"
            raise Refused("not-permitted", f"{said}; kubectl apply -f docs/rbac/identity.yaml; nothing was touched")
        if status != 200:
            raise ComponentError("kubernetes", f"GET namespace kube-system answered {status}: {answer}")
        return str(answer["metadata"]["uid"])

    @cached_property
    def known(self) -> str:
        """The uid, once it is the expected one. Raises Refused `cluster-identity`, `not-loopback`, ComponentError."""
        place = self.place
        if place.embedded and not httpjson.is_loopback(urlsplit(self.server).hostname or ""):
            said = f"the sandbox runs on this machine, but {place.kubeconfig} leads to {self.server}"
            raise Refused("not-loopback", f"{said}; nothing was touched")
        try:
            seen = self.uid()
        except httpjson.Unreachable as error:
            raise ComponentError("kubernetes", f"{error}; see context {self.context} of {place.kubeconfig}") from error
        which = "context" if place.context else "current context"
        if not place.uid:
            said = f"{place.said_by} does not say which cluster it is; the kubeconfig's {which} {self.context!r}"
            raise Refused("cluster-identity", f"{said} is {seen}: write it under identity.kubernetes if that is right")
        if seen != place.uid:
            said = f"{place.said_by} says cluster {_few(place.uid)}, the kubeconfig's {which}"
            raise Refused("cluster-identity", f'{said} "{self.context}" is {_few(seen)}; nothing was touched')
        return seen

    def denied(self, wanted: Iterable[Permission], namespace: str) -> list[Permission]:
        """Those that the API server would not allow us, asked one by one (SelfSubjectAccessReview)."""
        return [one for one in wanted if not self._allowed(one, namespace)]

    def _allowed(self, one: Permission, namespace: str) -> bool:
        resource, _, sub = one.resource.partition("/")
        asked = {"verb": one.verb, "group": one.group, "resource": resource, "subresource": sub, "name": one.name or ""}
        if not one.cluster:
            asked["namespace"] = namespace
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self.order("POST", path, {**body, "spec": {"resourceAttributes": asked}})
        return bool(answer["status"].get("allowed"))

    def require(self, fault: str, wanted: Iterable[Permission], namespace: str) -> None:
        """Be the right cluster and be allowed all that a fault needs, or raise Refused before anything is touched."""
        assert self.known
        missing = self.denied(wanted, namespace)
        if missing:
            said = ", ".join(one.words(namespace) for one in missing)
            file = f"docs/rbac/{fault.replace('.', '-')}.yaml"
            raise Refused("not-permitted", f"{fault} needs {said}; kubectl apply -f {file}; nothing was touched")

    def recipe(self, verb: str, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """An undo recipe: how to reach this cluster, which one it must be, and no secret."""
        reach = {"kubeconfig": self.place.kubeconfig, "context": self.context, "uid": self.known, "server": self.server}
        return {"verb": f"kubernetes.{verb}", "args": {**reach, **args}}


@cache
def connect(place: Place) -> Cluster:
    """The cluster at a place; one client for all that act on it in this process."""
    return Cluster(place)


def segment(name: str) -> str:
    """A name as part of a path."""
    return quote(name, safe="")


def _reason(error: Any) -> str:  # noqa: ANN401 - the client has no types
    try:
        return str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(error.reason)


def _short(error: Exception) -> str:
    return str(error).rpartition(": ")[2] or type(error).__name__


def _few(uid: str) -> str:
    return uid if len(uid) <= 8 else uid[:8] + "…"
