"""The node agent's own words, without a process."""

from typing import Any

from sandbox.node.agent import metrics_text


def test_metrics_in_the_prometheus_text_format() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "engine-0", "service": "matching-engine", "zone": "tyo-a", "ready": True, "restarts": 2},
        {"name": "toxiproxy", "service": "links", "zone": None, "ready": False, "restarts": 0},
    ]
    lines = metrics_text(rows).splitlines()
    labels = '{instance="engine-0",service="matching-engine",zone="tyo-a"}'
    assert f"muster_instance_ready{labels} 1" in lines
    assert f"muster_instance_restarts_total{labels} 2" in lines
    assert 'muster_instance_ready{instance="toxiproxy",service="links",zone=""} 0' in lines
