"""The roles in the documentation are those that the faults declare."""

from __future__ import annotations

from pathlib import Path

import yaml

from chaoslib_ext import cluster_roles
from chaoslib_ext.cluster import IDENTITY, Permission
from chaoslib_ext.faults.base import classes
from chaoslib_ext.faults.kubernetes import ClusterFault

FOLDER = Path(__file__).parent.parent.parent / "docs" / "rbac"


def test_the_roles_are_what_the_faults_declare() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    assert kept == cluster_roles.files(), "run: python -m chaoslib_ext.cluster_roles docs/rbac"


def test_every_fault_on_a_cluster_declares_what_it_needs_and_who_the_cluster_is() -> None:
    faults = [cls for cls in classes.values() if issubclass(cls, ClusterFault)]
    assert len(faults) >= 9
    assert all(IDENTITY in cls.permissions for cls in faults)


def test_a_role_holds_every_permission_once_and_nothing_else() -> None:
    for text in cluster_roles.files().values():
        for document in yaml.safe_load_all(text):
            for rule in document.get("rules") or []:
                assert "*" not in {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}


def test_a_permission_is_told_as_a_person_says_it() -> None:
    assert Permission("delete", "pods").words("exchange") == "delete pods in exchange"
    assert Permission("patch", "nodes", cluster=True).words("exchange") == "patch nodes"
    assert Permission("get", "deployments", "apps").words("x") == "get deployments.apps in x"
