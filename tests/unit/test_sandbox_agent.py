"""The node agent's own words, without a process."""

from typing import Any

from sandbox.node.agent import metrics_text
from sandbox.node.bus_metrics import bus_metrics_text


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


def test_metrics_of_a_bus_node_that_leads_the_stream_and_of_one_without_it() -> None:
    counts = ("connections", "routes", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers", "mem")
    varz: dict[str, Any] = {"server_name": "nats-0", **dict.fromkeys(counts, 3)}
    stream = {"name": "ORD", "cluster": {"leader": "nats-0"}, "state": {"last_seq": 17, "messages": 17}}
    with_stream = {"storage": 99, "account_details": [{"stream_detail": [stream]}]}
    lines = bus_metrics_text("nats-0", "tyo-a", varz, with_stream).splitlines()
    assert 'bus_stream_leader{instance="nats-0",zone="tyo-a"} 1' in lines
    assert 'bus_stream_last_sequence{instance="nats-0",zone="tyo-a"} 17' in lines
    assert "bus_stream" not in bus_metrics_text("nats-0", "tyo-a", varz, {"storage": 0})
