"""Metrics of an order-bus node: NATS speaks JSON (/varz, /jsz) only, so the agent says it in the Prometheus format."""

from collections.abc import Mapping
from typing import Any

STREAMS = ("ORD", "ORDDR")


def bus_metrics_text(name: str, zone: str, varz: Mapping[str, Any], jsz: Mapping[str, Any]) -> str:
    """The Prometheus text of one node, from the answers of /varz and /jsz?streams=true.

    Raises KeyError, TypeError where an answer is none of NATS'.
    """
    labels = f'{{instance="{name}",zone="{zone}"}}'
    rows = [
        ("bus_connections", "gauge", varz["connections"]),
        ("bus_routes", "gauge", varz["routes"]),
        ("bus_messages_in_total", "counter", varz["in_msgs"]),
        ("bus_messages_out_total", "counter", varz["out_msgs"]),
        ("bus_bytes_in_total", "counter", varz["in_bytes"]),
        ("bus_bytes_out_total", "counter", varz["out_bytes"]),
        ("bus_slow_consumers_total", "counter", varz["slow_consumers"]),
        ("bus_memory_bytes", "gauge", varz["mem"]),
        ("bus_stored_bytes", "gauge", jsz["storage"]),
    ]
    stream = _stream(jsz)
    if stream is not None:
        leads = stream.get("cluster", {}).get("leader") == varz["server_name"]
        rows += [
            ("bus_stream_leader", "gauge", int(leads)),
            ("bus_stream_last_sequence", "gauge", stream["state"]["last_seq"]),
            ("bus_stream_messages", "gauge", stream["state"]["messages"]),
        ]
        if leads and (silence := stream.get("mirror", {}).get("active", -1)) >= 0:
            rows.append(("bus_mirror_silence_seconds", "gauge", silence / 1e9))
    lines = [line for key, kind, value in rows for line in (f"# TYPE {key} {kind}", f"{key}{labels} {value}")]
    return "\n".join(lines) + "\n"


def _stream(jsz: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for account in jsz.get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            if stream["name"] in STREAMS:
                found: Mapping[str, Any] = stream
                return found
    return None
