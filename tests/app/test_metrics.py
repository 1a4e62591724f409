"""GET /metrics: what the process counted, what waits in the database, and who can reach it."""

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncEngine

from api.graphql.compiled.plans import USES_BEFORE_COMPILING
from app.metrics import Metrics
from app.metrics_server import metrics_application, serving_metrics
from domain.access import Role
from domain.currencies import Currency
from domain.errors import Unavailable
from domain.messaging.webhook_events import EventSubject
from domain.payments.gateway import OutcomeUnknown
from domain.payments.open_work import OpenWork
from persistence.open_work import SqlOpenWorkReader
from tests.api.application import running
from tests.support.acts import Acts
from tests.support.captured_logs import captured_logs
from tests.support.database import rows
from tests.support.reconciliation import Books
from tests.support.statements import counted


def figures(page: str) -> dict[str, float]:
    """The samples of a page by name and labels, such as `florin_requests_total{query,200}`."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


async def scrape(metrics: Metrics, engine: AsyncEngine) -> dict[str, float]:
    return figures((await metrics.page(SqlOpenWorkReader(engine))).decode())


async def test_an_empty_database_has_nothing_open(engine: AsyncEngine) -> None:
    found = await scrape(Metrics(), engine)
    assert found["florin_database_up"] == 1
    for name in (
        "florin_attempts_open",
        "florin_attempts_unresolved",
        "florin_attempts_manual",
        "florin_attempts_parked",
        "florin_oldest_open_attempt_seconds",
        "florin_webhook_events{RECEIVED}",
        "florin_webhook_events{QUARANTINED}",
        "florin_webhook_events{PARKED}",
        "florin_oldest_waiting_webhook_event_seconds",
        "florin_discrepancies_open",
        "florin_refunds_to_approve",
    ):
        assert found[name] == 0


async def test_what_waits_is_counted_by_what_it_waits_for(acts: Acts, engine: AsyncEngine) -> None:
    payer = await acts.add_actor()
    await acts.paid(payer, "paid")
    states = {"open": "OPEN", "unknown": "OPEN", "overdue": "OPEN", "manual": "MANUAL", "parked": "PARKED"}
    for key, state in states.items():
        acts.gateway.fail_next("confirm_charge", OutcomeUnknown("no answer"))
        answer = await acts.pay(payer, key)
        assert answer.transaction is not None
        change = {
            "unknown": ", unknown_since = now() - interval '16 minutes', first_sent_at = now() - interval '1 hour'",
            "overdue": ", next_check_at = now() - interval '16 minutes', unknown_since = now() - interval '16 minutes'",
        }.get(key, "")
        query = f"UPDATE attempts SET state = :state{change} WHERE transaction_id = :id RETURNING 1"  # noqa: S608  constants
        await rows(engine, query, state=state, id=answer.transaction.id)
    async with acts.units.begin() as uow:
        for number in range(3):
            await uow.webhook_events.store(acts.event(f"evt_{number}", EventSubject.OTHER, None), acts.clock.now())
    await rows(engine, "UPDATE webhook_events SET state = 'PARKED' WHERE id = 'evt_0' RETURNING 1")
    await rows(engine, "UPDATE webhook_events SET received_at = now() - interval '2 minutes' RETURNING 1")
    found = await scrape(Metrics(), engine)
    assert found["florin_attempts_open"] == 3
    assert found["florin_attempts_unresolved"] == 2
    assert found["florin_attempts_manual"] == found["florin_attempts_parked"] == 1
    assert 3600 <= found["florin_oldest_open_attempt_seconds"] < 7200
    assert found["florin_webhook_events{RECEIVED}"] == 2
    assert found["florin_webhook_events{PARKED}"] == 1
    assert 120 <= found["florin_oldest_waiting_webhook_event_seconds"] < 3600


async def test_refunds_count_for_as_long_as_they_wait_for_approval(engine: AsyncEngine) -> None:
    acts = Acts(engine=engine, approval_above={Currency.USD: 500})
    payer, support, admin = [await acts.add_actor(role) for role in (Role.CUSTOMER, Role.SUPPORT, Role.ADMIN)]
    waits = (await acts.refund(support, (await acts.paid(payer)).id)).refund
    assert waits is not None
    assert (await scrape(Metrics(), engine))["florin_refunds_to_approve"] == 1
    await acts.approve(admin, waits.id)
    assert (await scrape(Metrics(), engine))["florin_refunds_to_approve"] == 0


async def test_discrepancies_count_for_as_long_as_they_are_open(books: Books, engine: AsyncEngine) -> None:
    payer = await books.acts.add_actor()
    paid = await books.paid(payer)
    assert paid.processor_reference is not None
    books.acts.gateway.falsify(paid.processor_reference, captured=990)
    await books.run()
    assert (await scrape(Metrics(), engine))["florin_discrepancies_open"] == 1
    books.acts.gateway.falsify(paid.processor_reference, captured=1000)
    await books.run()
    assert (await scrape(Metrics(), engine))["florin_discrepancies_open"] == 0


async def test_calls_and_requests_are_counted(engine: AsyncEngine) -> None:
    async with running(engine) as florin:
        await florin.ada.paid()
        await florin.ada.ask("{ me { id } }")
        await florin.http.get("/nowhere")
        await florin.http.post("/webhooks/stripe", content=b"{}")
        found = await scrape(florin.parts.metrics, engine)
        assert found["florin_requests_total{mutation,200}"] == found["florin_requests_total{query,200}"] == 1
        assert found["florin_requests_total{other,404}"] == found["florin_requests_total{webhook,400}"] == 1
        assert found["florin_request_seconds_count{mutation}"] == 1
        # Metrics are not for the public.
        assert (await florin.http.get("/metrics")).status_code == 404


async def test_root_fields_are_counted_by_what_completed_them(engine: AsyncEngine) -> None:
    async with running(engine) as florin:
        for _ in range(USES_BEFORE_COMPILING + 2):
            await florin.ada.ask("{ me { id } }")
        found = await scrape(florin.parts.metrics, engine)
        assert found["florin_graphql_root_fields_total{not_compiled}"] == USES_BEFORE_COMPILING
        assert found["florin_graphql_root_fields_total{compiled}"] == 2


async def test_what_a_call_to_the_processor_came_to_is_counted(engine: AsyncEngine) -> None:
    metrics = Metrics()
    metrics.processor_called("payment_intents.create", "answered", 0.1)
    metrics.processor_called("payment_intents.create", "unknown", 12.0)
    found = await scrape(metrics, engine)
    assert found["florin_processor_calls_total{payment_intents.create,answered}"] == 1
    assert found["florin_processor_calls_total{payment_intents.create,unknown}"] == 1
    assert found["florin_processor_call_seconds_sum{payment_intents.create}"] == pytest.approx(12.1)


class Away:
    """A database that does not answer."""

    async def open_work(self) -> OpenWork:
        raise Unavailable


async def test_a_database_that_is_away_is_told_of(engine: AsyncEngine) -> None:
    metrics = Metrics()
    metrics.request_answered("query", None, 0.1)
    found = figures((await metrics.page(Away())).decode())
    assert found["florin_database_up"] == 0
    assert found["florin_requests_total{query,none}"] == 1
    assert not any(name.startswith("florin_attempts") for name in found)


async def test_the_listener_is_its_own_and_closes_with_the_program(engine: AsyncEngine) -> None:
    reader = SqlOpenWorkReader(engine)
    with captured_logs() as logs:
        async with serving_metrics(Metrics(), reader, host="127.0.0.1", port=0), httpx2.AsyncClient() as client:
            (started,) = logs.named("metrics.started")
            base = f"http://127.0.0.1:{started['port']}"
            answer = await client.get(f"{base}/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain")
            assert figures(answer.text)["florin_database_up"] == 1
            assert (await client.get(f"{base}/graphql")).status_code == 404
        async with httpx2.AsyncClient() as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"{base}/metrics")


async def test_without_a_port_there_is_none(engine: AsyncEngine) -> None:
    with captured_logs() as logs:
        async with serving_metrics(Metrics(), SqlOpenWorkReader(engine), host="127.0.0.1", port=None):
            pass
    assert logs.lines == []


async def test_a_scrape_is_one_statement(engine: AsyncEngine) -> None:
    transport = httpx2.ASGITransport(app=metrics_application(Metrics(), SqlOpenWorkReader(engine)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://metrics.test") as client:
        with counted(engine) as statements:
            await client.get("/metrics")
    assert len(statements) == 1
