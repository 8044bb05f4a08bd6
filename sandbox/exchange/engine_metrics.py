"""The numbers an engine shows on /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PUBLISH_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.013, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class EngineMetrics:
    """One registry per engine, so that several can live in one test process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.role = Gauge("exchange_engine_role", "2 primary, 1 standby, 0 starting", registry=self.registry)
        self.epoch = Gauge("exchange_engine_epoch", "epoch in force as this engine read it", registry=self.registry)
        self.applied_seq = Gauge("exchange_engine_applied_seq", "last command applied", registry=self.registry)
        self.stream_seq = Gauge("exchange_engine_stream_seq", "last log entry applied", registry=self.registry)
        self.lease_age = Gauge(
            "exchange_engine_lease_age_seconds", "since the last sign of life", registry=self.registry
        )
        self.batches = Counter("exchange_engine_batches", "entries appended as leader", registry=self.registry)
        self.stepdowns = Counter("exchange_engine_stepdowns", "leaderships given up", registry=self.registry)
        self.promotions = Counter("exchange_engine_promotions", "leaderships won", registry=self.registry)
        self.refused = Counter("exchange_engine_refused", "commands surely not executed", registry=self.registry)
        self.batch_size = Histogram(
            "exchange_engine_batch_size", "commands in an entry", buckets=_SIZE_BUCKETS, registry=self.registry
        )
        self.publish = Histogram(
            "exchange_engine_publish_seconds", "publish to PubAck", buckets=_PUBLISH_BUCKETS, registry=self.registry
        )

    def appended(self, commands: int, seconds: float) -> None:
        """One entry with `commands` commands was appended in `seconds`."""
        self.batches.inc()
        self.batch_size.observe(commands)
        self.publish.observe(seconds)
