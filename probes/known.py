"""Importing this fills the tables of probes (probes.base.factories and drills.registry)."""

from __future__ import annotations

from probes import engine_leader, redundancy, replication, slo

__all__ = ["engine_leader", "redundancy", "replication", "slo"]
