"""Small definitions and a small registry for tests of the nouns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from drills import registry
from drills.registry import FaultInfo, ProbeInfo
from drills.units import Duration


class Kill(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str | None = None
    instance: str | None = None
    role: Literal["primary", "standby"] | None = None


class Latency(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    link: str
    ms: float = Field(gt=0)
    toward: Literal["both", "up", "down"] = "both"
    duration: Duration | None = None


def use_small_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        "process.kill": FaultInfo("process.kill", Kill, "Kills a process."),
        "process.pause": FaultInfo("process.pause", Kill, "Stops a process."),
        "network.latency": FaultInfo("network.latency", Latency, "Slows a link.", "network"),
    }
    probes = {
        name: ProbeInfo(name, "1", "", slo)
        for name, slo in (("engine-leader", False), ("order-place", True), ("order-cancel", True))
    }
    monkeypatch.setattr(registry, "faults", faults)
    monkeypatch.setattr(registry, "probes", probes)


def drill_data(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - raw data
    return {
        "drill": "small",
        "title": "A small drill",
        "hypothesis": "It works.",
        "owner": "trading-core",
        "services": ["matching-engine"],
        "load": {"trace": "linear-perp-1m"},
        "objectives": [{"id": "rto", "rto": "10s", "flow": "place"}],
        "faults": {"dies": {"process.kill": {"service": "matching-engine", "role": "primary"}}},
        "phases": [{"baseline": {"for": "5s"}}, {"inject": {"fault": "dies"}}],
    } | changes


DRILL = """\
drill: small
title: A small drill
hypothesis: It works.
owner: trading-core
services: [matching-engine]
load: {trace: linear-perp-1m}
objectives:
  - {id: rto-place, rto: 10s, flow: place}
faults:
  dies: {process.kill: {service: matching-engine, role: primary}}
phases:
  - baseline: {for: 5s}
  - inject: {fault: dies}
"""

EXPERIMENT = """\
version: 1.0.0
title: Survives a kill
description: d
extensions:
  - {name: other, a: 1}
  - {name: muster, load: {trace: t}, objectives: [{id: a, slo: order-place}]}
steady-state-hypothesis:
  title: ok
  probes:
    - {type: probe, name: p, tolerance: true, provider:
        {type: python, module: chaoslib_ext.ctk.probes, func: slo_met, arguments: {slo: order-place}}}
method:
  - type: action
    name: dies
    provider:
      type: python
      module: chaoslib_ext.ctk.actions
      func: inject
      arguments: {fault: network.latency, target: {link: gateway-engine}, ms: 5, duration: 30s}
"""

ENVIRONMENT = """\
environment: staging
kind: staging
regions: {tyo: {zones: [a, b, c]}}
services:
  matching-engine: {depends_on: [order-bus], on: {kubernetes: {namespace: exchange}}}
  order-bus: {}
policy: {faults: ["process.*"], max_zones: 1, max_share: 34%, window: "Mon-Fri 09:00-16:00 Asia/Singapore"}
"""


def write(folder: Path, text: str | bytes, name: str = "x.yaml") -> Path:
    path = folder / name
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text, encoding="utf-8")
    return path
