"""A cluster that is no sandbox, as faults see it: from the environment file that names it."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.world import World
from drills.errors import Refused
from drills.model import Environment


def describe(environment: Environment, file: str) -> dict[str, Any]:
    """What `python -m sandbox describe` would say of it; its pods are found as its services tell.

    Raises Refused `needs-kubernetes` where the file names no kubeconfig: the one of the shell is never taken instead.
    """
    access = environment.kubernetes
    if access is None:
        said = f"{file} names no kubeconfig; add `kubernetes: {{kubeconfig: PATH, context: NAME}}`"
        raise Refused("needs-kubernetes", f"{said}; nothing was touched")
    services: dict[str, dict[str, str]] = {}
    for name, service in environment.services.items():
        found = service.on.get("kubernetes")
        if isinstance(found, dict):
            role = service.on.get("role_label") or found.get("role_label")
            services[name] = {**found} | ({"role_label": str(role)} if role else {})
    told = {
        "kubeconfig": access.kubeconfig,
        "context": access.context,
        "namespace": access.namespace,
        "uid": environment.identity.get("kubernetes"),
        "kind": environment.kind,
        "said_by": file,
        "services": services,
    }
    return {"instances": [], "links": [], "features": ["kubernetes"], "kubernetes": told}


def world(environment: Environment, file: str) -> World:
    """The same, for faults. Raises Refused `needs-kubernetes`."""
    return World.from_describe(describe(environment, file))
