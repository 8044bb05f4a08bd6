"""Metrics of a gateway, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sandbox.exchange.gateway_tls import Certificate

_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class GatewayMetrics:
    """Counters and gauges in a registry of their own; children are looked up once."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "exchange_requests",
            "Requests answered, by operation and return code",
            ["op", "code"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "exchange_request_seconds",
            "Time from a request's arrival to its answer, by operation",
            ["op"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.epoch = Gauge("exchange_leader_epoch", "Epoch of the leader known here, 0 without", registry=self.registry)
        self.connections = Gauge("exchange_connections", "Open WebSocket connections", registry=self.registry)
        self.pending = Gauge("exchange_pending_requests", "Requests without an answer", registry=self.registry)
        self.late = Counter("exchange_late_replies", "Engine replies after their time-out", registry=self.registry)
        self.links = Gauge("exchange_engine_link_up", "1 when connected", ["engine"], registry=self.registry)
        self._counters: dict[tuple[str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def show_certificate(self, certificate: Certificate) -> None:
        """Tell how long the certificate is valid, and how often it was taken anew."""
        left = Gauge("exchange_certificate_expires_seconds", "Time left, below 0 when over", registry=self.registry)
        left.set_function(lambda: certificate.expires_in_s)
        taken = Gauge("exchange_certificate_reloads", "Times that it was taken anew", registry=self.registry)
        taken.set_function(lambda: certificate.reloads)
        refused = Gauge("exchange_certificate_refused", "Times that it could not be taken", registry=self.registry)
        refused.set_function(lambda: certificate.refused)

    def answered(self, op: str, code: int, seconds: float) -> None:
        """Count one answer with its latency in seconds."""
        counter = self._counters.get((op, code))
        if counter is None:
            counter = self._counters[op, code] = self._requests.labels(op, str(int(code)))
        histogram = self._histograms.get(op)
        if histogram is None:
            histogram = self._histograms[op] = self._latency.labels(op)
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
