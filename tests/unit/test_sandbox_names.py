"""Names and certificates that a sandbox is started with, and how a gateway reads them."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import certs, names
from sandbox.errors import BadUse
from sandbox.exchange.gateway_tls import Certificate, not_after
from sandbox.home import Box, read_json
from sandbox.node.source import BUNDLED, StaticPods
from sandbox.topology import describe, lay_out


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    certs.write(folder, {"gateway-0": ["api.exchange.test", "127.11.1.3"], "gateway-1": ["127.11.2.3"]})
    return folder


@pytest.mark.parametrize("features", [(), ("sgp",)])
def test_the_first_region_has_the_api_and_every_region_its_own(features: tuple[str, ...], tmp_path: Path) -> None:
    topology, box = lay_out(StaticPods(BUNDLED, features).pods()), Box(tmp_path)
    described: dict[str, Any] = describe(topology, box, "id", {}, False, features)
    box.conf.mkdir()
    names.prepare(topology, box, described)
    records = read_json(box.conf / "records.json") or {}
    hosts = {row["name"]: row["host"] for row in described["instances"]}
    tyo = [hosts["gateway-0"], hosts["gateway-1"]]
    assert records["api.exchange.test"] == records["tyo.api.exchange.test"] == {"type": "A", "values": tyo}
    assert ("sgp.api.exchange.test" in records) == bool(features)
    venue = described["venue"]
    assert venue["named"]["ws"][0].startswith("wss://api.exchange.test:")
    assert (venue["ws"] == venue["named"]["ws"]) == bool(features)
    secure = {
        tuple(row["ports"][port] for port in ("https", "wss"))
        for row in described["instances"]
        if row["service"] == "gateway"
    }
    assert len(secure) == 1, "a name changes the address, never the port"
    assert described["tls"]["certificates"].keys() == {name for name in hosts if "gateway" in name}
    assert (Path(described["tls"]["ca_key"]).stat().st_mode & 0o777) == 0o600


def test_without_a_resolver_and_gateways_there_are_no_names(tmp_path: Path) -> None:
    topology, box = lay_out([pod for pod in StaticPods(BUNDLED).pods() if pod.service == "order-bus"]), Box(tmp_path)
    described: dict[str, Any] = describe(topology, box, "id", {}, False)
    box.conf.mkdir()
    names.prepare(topology, box, described)
    assert (described["dns"], described["tls"]) == (None, None)
    assert "named" not in described["venue"]


def test_a_certificate_is_for_its_hosts_and_ends_in_three_months(papers: Path) -> None:
    ends = not_after((papers / "gateway-0.pem").read_text())
    assert abs(ends - time.time() - certs.LASTS.total_seconds()) < 600
    assert not_after((papers / "ca.pem").read_text() * 2) == pytest.approx(ends, abs=5)


@pytest.mark.parametrize("cut", [0, 5, 40, 100])
def test_bytes_that_are_no_certificate_are_a_value_error(papers: Path, cut: int) -> None:
    der = ssl.PEM_cert_to_DER_cert((papers / "gateway-0.pem").read_text())
    with pytest.raises(ValueError):  # noqa: PT011 - the reason is for a log
        not_after(ssl.DER_cert_to_PEM_cert(der[:cut]))
    with pytest.raises(ValueError, match="holds no certificate"):
        not_after("nothing")


def test_a_wrong_certificate_is_refused_at_the_start_and_passed_over_later(papers: Path, tmp_path: Path) -> None:
    file, key = tmp_path / "c.pem", papers / "gateway-0.key"
    with pytest.raises(BadUse, match=r"MUSTER_TLS_CERT .*c\.pem: "):
        Certificate(file, key)
    file.write_bytes((papers / "gateway-0.pem").read_bytes())
    shown = Certificate(file, key)
    left = shown.expires_in_s
    file.write_bytes((papers / "gateway-1.pem").read_bytes())  # of another key
    shown.reload()
    assert (shown.reloads, shown.refused) == (0, 1)
    assert shown.expires_in_s == pytest.approx(left, abs=5)
    file.write_bytes((papers / "gateway-0.pem").read_bytes())
    shown.reload()
    assert (shown.reloads, shown.refused) == (1, 1)
