"""What Prometheus reads of the console: numbers alone, no names, no patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge.console.ingest import Ingest
from edge.console.service import Console

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Numbers(Collector):
    console: Console

    def collect(self) -> Iterator[Metric]:
        edges, feed = self.console.edges, self.console.feed
        hop = GaugeMetricFamily("vigil_console_hop_ok", "Whether this part works", labels=["hop"])
        for name, said in self.console.health().items():
            hop.add_metric([name], 1.0 if said["ok"] else 0.0)
        yield hop
        yield GaugeMetricFamily("vigil_console_clients", "Connected pages", len(feed))
        gauges: list[tuple[str, str, Callable[[Ingest], float]]] = [
            ("stored_seq", "Every event up to this number is stored", lambda each: each.cursor.seq),
            ("event_gap", "Numbers from the first missing on", lambda each: each.cursor.top - each.cursor.seq),
            ("sounded_seq", "Highest alarm event a page sounded", lambda each: each.cursor.sounded_seq),
        ]
        for name, text, of in gauges:
            gauge = GaugeMetricFamily(f"vigil_console_{name}", text, labels=["edge"])
            for edge, ingest in edges.items():
                gauge.add_metric([edge], of(ingest))
            yield gauge
        counters: list[tuple[str, str, Callable[[Ingest], float]]] = [
            ("events_stored", "Events stored since start", lambda each: each.stored),
            ("events_refused", "Events refused: hash, chain, number or edge", lambda each: each.refused),
            ("events_dropped", "Events dropped unacknowledged, to be sent again", lambda each: each.dropped),
            ("payloads_refused", "MQTT payloads outside the contract", lambda each: each.bad),
        ]
        for name, text, of in counters:
            counter = CounterMetricFamily(f"vigil_console_{name}", text, labels=["edge"])
            for edge, ingest in edges.items():
                counter.add_metric([edge], of(ingest))
            yield counter
        disbelieved = CounterMetricFamily(
            "vigil_console_messages_refused", "MQTT messages not believed, by why", labels=["edge", "reason"])
        for edge, ingest in edges.items():
            for reason, count in ingest.trust.refused.items():
                disbelieved.add_metric([edge, reason], count)
        yield disbelieved
        yield CounterMetricFamily("vigil_console_clients_cut", "Pages cut because they were too slow", feed.cut_slow)


class Metrics:
    """One registry a console, so that several can live in one process."""

    def __init__(self, console: Console) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Numbers(console))
        self._commands = Histogram(
            "vigil_console_command_seconds", "From a person's command to its answer", ["verb", "outcome"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5), registry=self._registry)

    def command(self, verb: str, status: int, took_s: float) -> None:
        """A command was answered with this HTTP status after `took_s` real seconds."""
        self._commands.labels(verb, str(status)).observe(took_s)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
