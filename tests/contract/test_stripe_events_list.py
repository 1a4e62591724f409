"""How StripeRecords reads Stripe's list of events."""

import json
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import stamina

from domain.messaging.webhook_events import EventSubject, WebhookEvent
from gateways.stripe.events import HANDLED_TYPES
from tests.contract.stripe_wire import Body, Wire, intent, ok, records_over

SINCE = datetime(2026, 11, 20, 12, 0, 0, 900_000, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=1)
CREATED = int(SINCE.timestamp())


@pytest.fixture(autouse=True)
def no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


def event(event_id: str = "evt_1", **changes: object) -> Body:
    return {
        "id": event_id,
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": CREATED,
        "livemode": False,
        "data": {"object": intent()},
        **changes,
    }


async def listed(
    wire: Wire, *, until: datetime | None = UNTIL, undelivered: bool = False, most: int = 100
) -> list[WebhookEvent]:
    found: list[WebhookEvent] = []
    async with aclosing(records_over(wire).events(SINCE, until, undelivered=undelivered)) as events:
        async for each in events:
            found.append(each)
            if len(found) == most:
                break
    return found


def page(*events: Body, more: bool = False) -> httpx2.Response:
    return ok({"object": "list", "data": list(events), "has_more": more})


async def test_the_types_that_we_handle_are_asked_for_within_the_span() -> None:
    wire = Wire(page())
    assert await listed(wire) == []
    form = wire.form()
    assert wire.paths == ["GET /v1/events"]
    types = [value for name, value in form.items() if name.startswith("types[")]
    assert types == list(HANDLED_TYPES)
    assert len(types) <= 20
    rest = {name: value for name, value in form.items() if not name.startswith("types[")}
    assert rest == {"limit": "100", "created[gte]": str(CREATED), "created[lt]": str(CREATED + 3600)}


async def test_undelivered_events_are_asked_for_as_such_and_without_an_end_if_there_is_none() -> None:
    wire = Wire(page())
    await listed(wire, until=None, undelivered=True)
    assert wire.form()["delivery_success"] == "false"
    assert "created[lt]" not in wire.form()


async def test_an_event_is_read_as_if_it_had_been_delivered() -> None:
    wire = Wire(page(event(account="acct_1")))
    (found,) = await listed(wire)
    assert json.loads(found.body) == event(account="acct_1")
    assert found == WebhookEvent(
        id="evt_1",
        type="payment_intent.succeeded",
        subject=EventSubject.CHARGE,
        reference="pi_1",
        account="acct_1",
        live=False,
        created_at=SINCE.replace(microsecond=0),
        body=found.body,
    )


async def test_pages_follow_each_other_and_only_as_far_as_they_are_wanted() -> None:
    wire = Wire(page(event("evt_2"), more=True), page(event("evt_1"), more=True))
    assert [found.id for found in await listed(wire, most=2)] == ["evt_2", "evt_1"]
    assert wire.form(1)["starting_after"] == "evt_2"


@pytest.mark.parametrize(
    "odd",
    [{"data": None}, {"type": None}, {"type": "a\nb"}, {"created": 10**30}, {"created": None}, {"livemode": "no"}],
    ids=str,
)
async def test_an_event_that_cannot_be_read_does_not_keep_the_others_from_us(odd: Body) -> None:
    wire = Wire(page(event("evt_2", **odd), event("evt_1")))
    assert [found.id for found in await listed(wire)] == ["evt_1"]
