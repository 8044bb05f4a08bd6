"""What a failure of TLS between us and an API server becomes: one line, whatever the package makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from urllib3 import exceptions

from chaoslib_ext import httpjson
from chaoslib_ext.cluster import Cluster, Place
from drills.errors import ComponentError

SERVER = "https://127.0.0.1:1"
CHECK = "certificate verify failed"
FAILURES = {
    "wrong CA": f"[SSL: CERTIFICATE_VERIFY_FAILED] {CHECK}: unable to get local issuer certificate (_ssl.c:1000)",
    "expired": f"[SSL: CERTIFICATE_VERIFY_FAILED] {CHECK}: certificate has expired (_ssl.c:1000)",
    "our own is refused": "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)",
}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """One at an address at which nobody is asked."""
    config = {
        "current-context": "there",
        "clusters": [{"name": "there", "cluster": {"server": SERVER}}],
        "users": [{"name": "us", "user": {"token": "t"}}],
        "contexts": [{"name": "there", "context": {"cluster": "there", "user": "us"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Cluster(Place(str(path), uid="u"))


def fails(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every request of its client ends so."""

    def request(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cluster.api.rest_client.pool_manager, "request", request)


@pytest.mark.parametrize("said", FAILURES.values(), ids=FAILURES)
def test_a_failure_of_tls_is_one_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    fails(cluster, monkeypatch, exceptions.SSLError(said))
    with pytest.raises(httpjson.Unreachable) as caught:
        cluster.call("GET", "/version")
    assert str(caught.value) == f"{SERVER}/version does not answer (SSLError {said})"
    assert not caught.value.refused, "something listens there"


def test_who_the_cluster_is_cannot_be_asked_then(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(cluster, monkeypatch, exceptions.SSLError(FAILURES["expired"]))
    with pytest.raises(ComponentError, match=r"certificate has expired.*; see context there of /.*kubeconfig$"):
        assert cluster.known


def test_nobody_at_the_address_is_told_apart(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Failed to establish a new connection: [Errno 111] Connection refused"
    fails(cluster, monkeypatch, exceptions.NewConnectionError(None, text))  # type: ignore[arg-type]
    with pytest.raises(httpjson.Unreachable, match="Connection refused") as caught:
        cluster.call("GET", "/version")
    assert caught.value.refused
