"""What Prometheus may scrape: counters since this process began, and how the ledger and the disk stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Summary, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scanweave import __version__
from scanweave.pipeline.batch.entry import Outcome
from scanweave.pipeline.node.delivery_ledger import Sending
from scanweave.pipeline.node.inbox import GIGABYTE, Inbox
from scanweave.pipeline.node.node_ledger import NodeLedger

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NodeMetrics:
    """All metrics of one node."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept = self.registry
        self._received = _counter("instances_received", "instances stored and acknowledged", ["new"], kept)
        self._refused = _counter("instances_refused", "instances not stored", ["reason"], kept)
        self._ended = _counter("studies_ended", "studies that ended", ["state", "code"], kept)
        self._sent = _counter("deliveries_attempted", "attempts at deliveries", ["destination", "delivered"], kept)
        self._steps = Summary("scanweave_step_seconds", "seconds of each step of a study", ["step"], registry=kept)

    def received(self, *, new: bool) -> None:
        """An instance was acknowledged."""
        self._received.labels(str(new).lower()).inc()

    def refused(self, reason: str) -> None:
        """An instance was not."""
        self._refused.labels(reason).inc()

    def ended(self, outcome: Outcome, seconds: Mapping[str, float]) -> None:
        """A study has ended; `seconds` of each of its steps."""
        self._ended.labels(str(outcome.state), outcome.code or "").inc()
        for step, took in seconds.items():
            self._steps.labels(step).observe(took)

    def sent(self, destination: str, *, delivered: bool) -> None:
        """A delivery was tried."""
        self._sent.labels(destination, str(delivered).lower()).inc()

    def watch(self, ledger: NodeLedger, inbox: Inbox) -> None:
        """Have what the ledger and the disk say at each scrape among the metrics."""
        self.registry.register(_Standing(ledger, inbox))

    @property
    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


def _counter(name: str, words: str, labels: list[str], registry: CollectorRegistry) -> Counter:
    return Counter(f"scanweave_{name}", words, labels, registry=registry)


class _Standing(Collector):
    def __init__(self, ledger: NodeLedger, inbox: Inbox) -> None:
        self.ledger, self.inbox = ledger, inbox

    def collect(self) -> Iterator[Metric]:
        """As Prometheus asks."""
        figures = self.ledger.figures()
        studies = GaugeMetricFamily("scanweave_studies", "studies in each state of the ledger", labels=["state"])
        for state, count in self.ledger.counts().items():
            studies.add_metric([str(state)], count)
        studies.add_metric(["arriving"], figures["arriving"])
        yield studies
        deliveries = GaugeMetricFamily("scanweave_deliveries", "deliveries in each state", labels=["state"])
        for sending in Sending:
            deliveries.add_metric([str(sending)], figures[str(sending)])
        yield deliveries
        yield GaugeMetricFamily("scanweave_instances", "instances that are kept", value=figures["instances"])
        free = self.inbox.free_gb * GIGABYTE
        yield GaugeMetricFamily("scanweave_disk_free_bytes", "of the disk with the node's folder", value=free)
        info = GaugeMetricFamily("scanweave_info", "1, with the version as label", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
