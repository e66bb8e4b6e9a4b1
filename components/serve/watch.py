"""What an operator sees: one line of JSON per request, and figures for Prometheus.

In: visits, and the state of the versions. Out: log lines on standard error, the text of ``/metrics``. In between:
no prompt, no answer and no key stands in either, unless texts are asked for with ``log_text``.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from components.serve.versions import Versions

_log = logging.getLogger("pedigree.serve")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass
class Visit:
    """What is known of one request while it runs; ``facts`` are what its route adds for the log."""

    request_id: str
    route: str = "other"
    status: int = 0
    began: float = field(default_factory=time.perf_counter)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.began


class Watch:
    """Counts visits and writes them down."""

    def __init__(self, versions: Versions) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("pedigree_requests", "Requests", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "pedigree_request_seconds", "Time of a request", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self._first = Histogram(
            "pedigree_first_token_seconds", "Time to the first token", buckets=_SECONDS, registry=self.registry
        )
        self._tokens = Counter("pedigree_tokens", "Tokens read and written", ["kind"], registry=self.registry)
        self._shadow = Counter(
            "pedigree_shadow", "Requests that a shadow answered too", ["outcome"], registry=self.registry
        )
        self.registry.register(_State(versions))

    def first_token(self, visit: Visit) -> None:
        """The first token of an answer is there."""
        if "first_token_seconds" not in visit.facts:
            visit.facts["first_token_seconds"] = round(visit.seconds, 4)
            self._first.observe(visit.seconds)

    def shadowed(self, outcome: str) -> None:
        """A shadow has answered, or was left out."""
        self._shadow.labels(outcome).inc()

    def left(self, visit: Visit) -> None:
        """A request is over."""
        self._requests.labels(visit.route, str(visit.status)).inc()
        self._seconds.labels(visit.route).observe(visit.seconds)
        for kind in ("prompt", "completion"):
            self._tokens.labels(kind).inc(visit.facts.get(f"{kind}_tokens", 0))
        told = {"request_id": visit.request_id, "route": visit.route, "status": visit.status}
        _log.info("request", extra={"fields": {**told, "seconds": round(visit.seconds, 4), **visit.facts}})


class _State(Collector):
    """What can be read off at any moment: slots, lines, versions, trouble."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def collect(self) -> Iterator[Metric]:
        """Each figure anew."""
        engines = [engine for served in self._versions.loaded for engine in served.engines]
        yield _gauge("pedigree_slots_busy", "Slots in use", sum(e.num_busy for e in engines))
        yield _gauge("pedigree_slots", "Slots there are", sum(e.num_slots for e in engines))
        yield _gauge("pedigree_waiting", "Texts in line", sum(e.num_waiting for e in engines))
        yield _gauge(
            "pedigree_trouble", "1 while the registry or a version makes trouble", bool(self._versions.trouble)
        )
        yield _gauge("pedigree_versions_refused", "Versions that did not pass", self._versions.num_refused)
        family = GaugeMetricFamily("pedigree_version", "Versions in memory; 1 answers", labels=["model", "digest"])
        for served in self._versions.loaded:
            labels = [served.identity.model, served.identity.digest[:16]]
            family.add_metric(labels, served is self._versions.current)
        yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


class JsonLines(logging.Formatter):
    """A log record as one line of JSON; what stands in its ``fields`` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {"time": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
        told |= getattr(record, "fields", {})
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=True, default=str)


def log_to_standard_error(loggers: Iterable[str] = ("pedigree.serve", "uvicorn.error", "asyncio")) -> None:
    """Let these loggers write lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in loggers:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "pedigree.serve" else logging.WARNING)
