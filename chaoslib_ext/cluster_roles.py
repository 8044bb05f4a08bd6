"""The least that each fault on Kubernetes must be allowed, as roles: `python -m chaoslib_ext.cluster_roles DIR`.

Written from the very declaration that is checked before a fault (`permissions` of its class), so that the roles in the
documentation and the refusals say the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from chaoslib_ext.cluster import IDENTITY, SEE, Permission, workloads
from chaoslib_ext.faults.base import classes
from chaoslib_ext.faults.kubernetes import ClusterFault

ACCOUNT = "muster"
SPACE = "exchange"

SNAPSHOT = (
    *SEE,
    *workloads("list"),
    Permission("list", "poddisruptionbudgets", "policy"),
)
"""To compare the cluster before and after a run; what may not be read is reported as such, and refuses nothing."""

_HEAD = """\
# Written by `python -m chaoslib_ext.cluster_roles docs/rbac` from what {what} declares; change that instead.
# For namespace {space} and account {account}: replace both where yours are called otherwise.
"""


def roles() -> dict[str, tuple[Permission, ...]]:
    """By the name of its file, what each fault needs; and what every run and its snapshot need."""
    faults = {name.replace(".", "-"): cls.permissions for name, cls in classes.items() if issubclass(cls, ClusterFault)}
    return {
        "identity": (IDENTITY,),
        "snapshot": SNAPSHOT,
        **{name: needed for name, needed in faults.items() if needed},
    }


def documents(
    name: str, wanted: Iterable[Permission], *, space: str = SPACE, account: str = ACCOUNT
) -> list[dict[str, Any]]:
    """A ClusterRole for what is not of one namespace, a Role for the rest, each bound to a service account."""
    kept = list(dict.fromkeys(wanted))
    found = []
    for kind, rules in (
        ("ClusterRole", _rules(one for one in kept if one.cluster)),
        ("Role", _rules(one for one in kept if not one.cluster)),
    ):
        if not rules:
            continue
        meta = {"name": f"muster-{name}"} | ({"namespace": space} if kind == "Role" else {})
        group = "rbac.authorization.k8s.io"
        head = {"apiVersion": f"{group}/v1"}
        found.append({**head, "kind": kind, "metadata": meta, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": account, "namespace": space}
        role = {"apiGroup": group, "kind": kind, "name": f"muster-{name}"}
        found.append({**head, "kind": f"{kind}Binding", "metadata": meta, "roleRef": role, "subjects": [subject]})
    return found


def _rules(wanted: Iterable[Permission]) -> list[dict[str, Any]]:
    verbs: dict[tuple[str, str, str | None], list[str]] = {}
    for one in wanted:
        verbs.setdefault((one.group, one.resource, one.name), []).append(one.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(set(said))}
        | ({"resourceNames": [name]} if name else {})
        for (group, resource, name), said in sorted(verbs.items(), key=str)
    ]


def files() -> dict[str, str]:
    """Every file of docs/rbac by its name: the account, and one a role."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": SPACE}}
    found = {"account.yaml": _text("the drills", [account])}
    for name, wanted in sorted(roles().items()):
        found[f"{name}.yaml"] = _text(name.replace("-", ".", 1), documents(name, wanted))
    return found


def _text(what: str, documents: Iterable[dict[str, Any]]) -> str:
    head = _HEAD.format(what=what, space=SPACE, account=ACCOUNT)
    return head + yaml.safe_dump_all(documents, sort_keys=False, default_flow_style=None, width=110)


def main(folder: Path) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
