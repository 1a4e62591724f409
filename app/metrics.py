"""Metrics in Prometheus' format: what this process did, and what waits in the database, which is asked at each scrape."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from domain.errors import Unavailable
from domain.payments.open_work import OpenWork, OpenWorkReader

# From a quick answer to the processor's deadline.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class Metrics:
    """One process's metrics. Counting costs about a microsecond; a page is put together only when it is asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._calls = Counter(
            "florin_processor_calls", "Calls to the processor.", ["endpoint", "outcome"], registry=self._registry
        )
        self._call_seconds = Histogram(
            "florin_processor_call_seconds",
            "How long calls to the processor took, their repetitions included.",
            ["endpoint"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._requests = Counter(
            "florin_requests", "Requests that were answered.", ["kind", "status"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "florin_request_seconds", "How long requests took.", ["kind"], buckets=_BUCKETS, registry=self._registry
        )
        self._completions = Counter(
            "florin_graphql_root_fields",
            "Root fields whose values were completed, by whether compiled code did it.",
            ["outcome"],
            registry=self._registry,
        )
        # To find a series by its labels costs more than to count in it.
        self._requests_of = cache(lambda kind, status: self._requests.labels(kind, status or "none"))
        self._request_seconds_of = cache(self._request_seconds.labels)
        self._completions_of = cache(self._completions.labels)

    def processor_called(self, endpoint: str, outcome: str, seconds: float) -> None:
        self._calls.labels(endpoint, outcome).inc()
        self._call_seconds.labels(endpoint).observe(seconds)

    def request_answered(self, kind: str, status: int | None, seconds: float) -> None:
        """Count a request; `status` is None where the connection closed before there was an answer."""
        self._requests_of(kind, status).inc()
        self._request_seconds_of(kind).observe(seconds)

    def field_completed(self, outcome: str) -> None:
        """Count a root field of GraphQL: compiled, or else why not."""
        self._completions_of(outcome).inc()

    async def page(self, reader: OpenWorkReader) -> bytes:
        """What a scrape gets. While the database is away it lacks what only the database knows."""
        try:
            open_work = await reader.open_work()
        except Unavailable:
            open_work = None
        return generate_latest(self._registry) + generate_latest(_gauges(open_work))


def _gauges(work: OpenWork | None) -> CollectorRegistry:
    """The database's figures, in a registry of their own, so that none is left over from an earlier scrape."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float) -> None:
        Gauge(name, text, registry=registry).set(value)

    gauge("florin_database_up", "Whether the database answered this scrape.", work is not None)
    if work is None:
        return registry
    gauge("florin_attempts_open", "Attempts whose outcome is not known yet.", work.attempts_open)
    gauge("florin_attempts_unresolved", "Attempts that are unknown for over 15 minutes.", work.attempts_unresolved)
    gauge("florin_attempts_manual", "Attempts that were left to a person.", work.attempts_manual)
    gauge("florin_attempts_parked", "Attempts that killed whoever worked on them.", work.attempts_parked)
    gauge("florin_oldest_open_attempt_seconds", "How old the oldest open attempt is.", work.oldest_open_attempt_seconds)
    events = Gauge("florin_webhook_events", "Webhook events that are not done with.", ["state"], registry=registry)
    for state, number in work.webhook_events.items():
        events.labels(state.value).set(number)
    gauge(
        "florin_oldest_waiting_webhook_event_seconds",
        "How long the oldest webhook event has waited to be applied.",
        work.oldest_waiting_event_seconds,
    )
    gauge(
        "florin_discrepancies_open",
        "Discrepancies between the processor and us that wait for a person.",
        work.discrepancies_open,
    )
    gauge(
        "florin_refunds_to_approve", "Refunds that wait for the approval of a second person.", work.refunds_to_approve
    )
    return registry
