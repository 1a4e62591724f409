"""The inbox in GraphQL: for administrators alone, without anything secret, and with a way to apply an event after all."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.application import Florin, Json, Person
from tests.api.test_webhooks import EVENT, deliver, signature
from tests.support.database import rows
from tests.support.statements import counted

EVENTS = """query Inbox($first: Int, $after: String, $last: Int, $before: String, $filter: WebhookEventFilter) {
  webhookEvents(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    totalCount
    nodes {
      id processorEventId type state reason tries processorReference processorAccount live payload
      occurredAt receivedAt settledAt transaction { id }
    }
    edges { cursor }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
REAPPLY = """mutation Reapply($input: ReapplyWebhookEventInput!) {
  reapplyWebhookEvent(input: $input) {
    replayed webhookEvent { id state reason tries transaction { id status } } errors { code path retryable }
  }
}"""


@pytest.fixture
def margaret(florin: Florin) -> Person:
    """An administrator."""
    return florin.margaret


async def listed(who: Person, **arguments: object) -> Json:
    found: Json = (await who.ask(EVENTS, arguments))["webhookEvents"]
    return found


async def names(who: Person, **wanted: object) -> list[str]:
    """The processor's ids of the events that a filter lets through, the latest first."""
    return [node["processorEventId"] for node in (await listed(who, filter=wanted))["nodes"]]


def event(number: int, **changes: Any) -> bytes:  # Any: fields of an event
    return json.dumps(json.loads(EVENT) | {"id": f"evt_{number}"} | changes).encode()


async def receive(florin: Florin, *bodies: bytes) -> None:
    for body in bodies:
        assert (await deliver(florin, body, [signature(body)])).status_code == 200


async def put_aside(florin: Florin, state: str = "PARKED") -> None:
    await rows(
        florin.parts.engine,
        f"UPDATE webhook_events SET state = '{state}', reason = 'a test', settled_at = received_at RETURNING 1",  # noqa: S608
    )


async def unconfirmed_news(florin: Florin, who: Person) -> tuple[Json, bytes]:
    """A payment that its payer has authenticated, which nobody has told us, and the event that would."""
    waiting = await who.paid(paymentMethodId="pm_card_authenticationRequired")
    intent = await florin.sandbox.get(f"/v1/payment_intents/{waiting['processorReference']}")
    assert (await florin.sandbox.authenticate(intent, "complete")).is_success
    return waiting, event(1, data={"object": {"id": intent["id"], "object": "payment_intent"}})


async def reapply(who: Person, event_id: str, key: str = "again-1", reason: str = "It is ours after all.") -> Json:
    wanted = {"webhookEventId": event_id, "idempotencyKey": key, "reason": reason}
    payload: Json = (await who.ask(REAPPLY, {"input": wanted}))["reapplyWebhookEvent"]
    return payload


# Reading.


async def test_an_event_is_shown_with_all_that_became_of_it(florin: Florin, ada: Person, margaret: Person) -> None:
    waiting, body = await unconfirmed_news(florin, ada)
    await receive(florin, body)
    (claimed,) = await florin.parts.webhooks.claim(10)
    await florin.parts.webhooks.apply(claimed)
    (node,) = (await listed(margaret))["nodes"]
    received, settled = node.pop("receivedAt"), node.pop("settledAt")
    assert received <= settled
    assert node["id"].startswith("whe_")
    assert node == {
        "id": node["id"],
        "processorEventId": "evt_1",
        "type": "payment_intent.succeeded",
        "state": "APPLIED",
        "reason": None,
        "tries": 1,
        "processorReference": waiting["processorReference"],
        "processorAccount": None,
        "live": False,
        "payload": {
            "id": "evt_1",
            "object": "event",
            "type": "payment_intent.succeeded",
            "created": 1_790_000_000,
            "livemode": False,
            "data": {
                "object": {"id": waiting["processorReference"], "object": "payment_intent"},
                "previous_attributes": {},
            },
        },
        "occurredAt": "2026-09-21T14:13:20.000000Z",
        "transaction": {"id": waiting["id"]},
    }
    found = await margaret.ask("query ($id: ID!) { node(id: $id) { id __typename } }", {"id": node["id"]})
    assert found["node"] == {"id": node["id"], "__typename": "WebhookEvent"}


FILTERS: Mapping[str, tuple[dict[str, object], list[str]]] = {
    "state": ({"state": ["QUARANTINED"]}, ["evt_3"]),
    "states": ({"state": ["QUARANTINED", "RECEIVED"]}, ["evt_4", "evt_3", "evt_2", "evt_1"]),
    "no state": ({"state": []}, []),
    "type": ({"type": ["charge.refunded"]}, ["evt_2"]),
    "types": ({"type": ["charge.refunded", "charge.updated"]}, ["evt_4", "evt_2"]),
    "part of a type": ({"type": ["charge"]}, []),
    "reference": ({"reference": "pi_4"}, ["evt_4"]),
    "emptied": ({"reference": ""}, ["evt_4", "evt_3", "evt_2", "evt_1"]),
    "from": ({"receivedFrom": "2026-01-03T00:00:00Z"}, ["evt_4", "evt_3"]),
    "to": ({"receivedTo": "2026-01-03T00:00:00Z"}, ["evt_2", "evt_1"]),
    "all": (
        {
            "state": ["RECEIVED"],
            "type": ["charge.updated"],
            "reference": "pi_4",
            "receivedFrom": "2026-01-04T00:00:00Z",
            "receivedTo": "2026-01-04T00:00:01Z",
        },
        ["evt_4"],
    ),
}


@pytest.fixture
async def four_events(florin: Florin) -> None:
    types = ("payment_intent.succeeded", "charge.refunded", "payment_intent.canceled", "charge.updated")
    for number, kind in enumerate(types, start=1):
        about = {"object": {"id": f"pi_{number}", "payment_intent": f"pi_{number}"}}
        await receive(florin, event(number, type=kind, data=about))
    await rows(
        florin.parts.engine,
        "UPDATE webhook_events SET received_at = timestamptz '2025-12-31Z' + right(id, 1)::int * interval '1 day',"
        " state = CASE id WHEN 'evt_3' THEN 'QUARANTINED' ELSE state END RETURNING 1",
    )


@pytest.mark.usefixtures("four_events")
@pytest.mark.parametrize(("wanted", "expected"), FILTERS.values(), ids=FILTERS.keys())
async def test_each_filter_lets_through_what_it_says(
    margaret: Person, wanted: dict[str, object], expected: list[str]
) -> None:
    assert await names(margaret, **wanted) == expected
    assert (await listed(margaret, filter=wanted))["totalCount"] == len(expected)


@pytest.mark.parametrize("wanted", [{"reference": "pi_\x00"}, {"type": ["4242424242424242"]}, {"reference": "x" * 256}])
async def test_what_cannot_be_searched_for_is_refused(margaret: Person, wanted: dict[str, object]) -> None:
    error = await margaret.refused(EVENTS, {"filter": wanted})
    assert error["extensions"]["code"] == "BAD_INPUT"


async def test_pages_make_up_the_whole_list_from_both_ends(florin: Florin, margaret: Person) -> None:
    await receive(florin, *(event(number) for number in range(7)))
    # All at the same moment, so that the ids alone put them in order.
    await rows(florin.parts.engine, "UPDATE webhook_events SET received_at = now() RETURNING 1")
    whole = [node["id"] for node in (await listed(margaret))["nodes"]]
    forwards: list[str] = []
    after, more = None, True
    while more:
        page = await listed(margaret, first=3, after=after)
        forwards += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    backwards: list[str] = []
    before, more = None, True
    while more:
        page = await listed(margaret, last=3, before=before)
        backwards = [node["id"] for node in page["nodes"]] + backwards
        before, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]
    assert forwards == backwards == whole
    assert len(set(whole)) == 7


async def test_a_page_costs_the_same_statements_whatever_its_size(
    florin: Florin, ada: Person, margaret: Person
) -> None:
    for number in range(10):
        paid = await ada.paid(f"key-{number}")
        about = {"object": {"id": paid["processorReference"]}}
        await receive(florin, event(number, data=about))
    for events in await florin.parts.webhooks.claim(10):
        await florin.parts.webhooks.apply(events)
    for first in (1, 10):
        with counted(florin.parts.engine) as statements:
            nodes = (await listed(margaret, first=first))["nodes"]
        assert len({node["transaction"]["id"] for node in nodes}) == first
        # Who asks, the page, its transactions, and how many there are.
        assert len(statements) == 4, "\n".join(statements)
    ids = [node["id"] for node in nodes]
    with counted(florin.parts.engine) as statements:
        found = await margaret.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})
    assert [node["id"] for node in found["nodes"]] == ids
    assert len(statements) == 2


async def test_nothing_secret_is_shown_of_what_the_processor_sent(florin: Florin, margaret: Person) -> None:
    sandbox = florin.sandbox
    customer = await sandbox.post("/v1/customers", {"name": "Ada Lovelace", "email": "ada@secret.example"})
    await sandbox.pay(customer=customer["id"], description="Private words", receipt_email="ada@secret.example")
    waiting = await sandbox.pay("pm_card_authenticationRequired", return_url="https://secret.example")
    assert waiting["client_secret"]
    told = (await sandbox.get("/v1/events", {"limit": 100}))["data"]
    bodies = [json.dumps(each).encode() for each in told]
    sent = b"".join(bodies).decode()
    secrets = ["_secret_", "client_secret", "4242", "last4", "exp_year", "fingerprint", "Lovelace", "secret.example"]
    assert [secret for secret in [*secrets, "Private words"] if secret not in sent] == []
    await receive(florin, *bodies)
    shown = json.dumps(await listed(margaret, first=100))
    assert [secret for secret in [*secrets, "Private words"] if secret in shown] == []
    assert waiting["id"] in shown


@pytest.mark.parametrize("role", ["ada", "grace"])
async def test_only_administrators_see_the_inbox(florin: Florin, margaret: Person, role: str) -> None:
    await receive(florin, event(1))
    (node,) = (await listed(margaret))["nodes"]
    who: Person = getattr(florin, role)
    assert (await who.refused(EVENTS))["extensions"]["code"] == "FORBIDDEN"
    # By its id it does not exist for anybody else.
    found = await who.ask("query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }", {"id": node["id"]})
    assert found == {"node": None, "nodes": [None]}


async def test_a_stranger_is_told_nothing(florin: Florin) -> None:
    await receive(florin, event(1))
    error = await florin.anonymous.refused("{ webhookEvents { nodes { id } } }")
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


# Applying after all.


@pytest.mark.parametrize("state", ["QUARANTINED", "IGNORED", "PARKED"])
async def test_an_event_that_was_put_aside_can_be_applied_after_all(
    florin: Florin, ada: Person, margaret: Person, state: str
) -> None:
    waiting, body = await unconfirmed_news(florin, ada)
    await receive(florin, body)
    await put_aside(florin, state)
    (node,) = (await listed(margaret))["nodes"]
    payload = await reapply(margaret, node["id"])
    assert payload == {
        "replayed": False,
        "errors": [],
        "webhookEvent": {
            "id": node["id"],
            "state": "APPLIED",
            "reason": None,
            "tries": 1,
            "transaction": {"id": waiting["id"], "status": "COMPLETED"},
        },
    }
    assert (await ada.transaction(waiting["id"]))["status"] == "COMPLETED"
    audited = await rows(
        florin.parts.engine, "SELECT actor_kind, actor_id, details FROM audit_entries WHERE action LIKE 'webhook%'"
    )
    details = {
        "webhookEventId": node["id"],
        "eventId": "evt_1",
        "type": "payment_intent.succeeded",
        "from": state,
        "reason": "It is ours after all.",
    }
    assert audited == [("USER", margaret.user.id, details)]


async def test_an_event_that_is_no_better_is_put_aside_again_and_says_why(florin: Florin, margaret: Person) -> None:
    await receive(florin, event(1))
    await put_aside(florin)
    (node,) = (await listed(margaret))["nodes"]
    payload = await reapply(margaret, node["id"])
    assert (payload["errors"], payload["webhookEvent"]["state"]) == ([], "QUARANTINED")
    assert payload["webhookEvent"]["reason"].startswith("resource_missing")


async def test_the_same_key_applies_it_once(florin: Florin, ada: Person, margaret: Person) -> None:
    _, body = await unconfirmed_news(florin, ada)
    await receive(florin, body)
    await put_aside(florin)
    (node,) = (await listed(margaret))["nodes"]
    first = await reapply(margaret, node["id"])
    before = await florin.traces()
    again = await reapply(margaret, node["id"])
    assert again == first | {"replayed": True}
    other = await reapply(margaret, node["id"], reason="Another one.")
    assert [error["code"] for error in other["errors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert await florin.traces() == before


@pytest.mark.parametrize("state", ["RECEIVED", "APPLIED"])
async def test_an_event_that_was_not_put_aside_is_left_alone(florin: Florin, margaret: Person, state: str) -> None:
    await receive(florin, event(1))
    await put_aside(florin, state)
    (node,) = (await listed(margaret))["nodes"]
    before = (await florin.traces(), await listed(margaret))
    payload = await reapply(margaret, node["id"])
    assert payload["errors"] == [{"code": "NOT_REAPPLICABLE", "path": ["input", "webhookEventId"], "retryable": False}]
    assert payload["webhookEvent"] is None
    assert (await florin.traces(), await listed(margaret)) == before


REFUSED: Mapping[str, tuple[dict[str, str], str]] = {
    "an unknown event": ({"event_id": "whe_" + "0" * 32}, "NOT_FOUND"),
    "no event's id": ({"event_id": "txn_" + "0" * 32}, "NOT_FOUND"),
    "no reason": ({"reason": " \n"}, "INVALID_TEXT"),
    "a long reason": ({"reason": "x" * 501}, "INVALID_TEXT"),
    "a card number for a reason": ({"reason": "card 4242424242424242"}, "CARD_NUMBER_REFUSED"),
    "no key": ({"key": ""}, "INVALID_IDEMPOTENCY_KEY"),
}


@pytest.mark.parametrize(("change", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_refused_changes_nothing(
    florin: Florin, margaret: Person, change: dict[str, str], code: str
) -> None:
    await receive(florin, event(1))
    await put_aside(florin)
    before = (await florin.traces(), await listed(margaret))
    wanted = {"event_id": before[1]["nodes"][0]["id"]} | change
    payload = await reapply(margaret, **wanted)
    assert [error["code"] for error in payload["errors"]] == [code]
    assert payload["webhookEvent"] is None
    assert (await florin.traces(), await listed(margaret)) == before


@pytest.mark.parametrize("role", ["ada", "grace"])
async def test_only_administrators_may_apply_again(florin: Florin, margaret: Person, role: str) -> None:
    await receive(florin, event(1))
    await put_aside(florin)
    before = (await florin.traces(), await listed(margaret))
    who: Person = getattr(florin, role)
    wanted = {"webhookEventId": before[1]["nodes"][0]["id"], "idempotencyKey": "k", "reason": "mine"}
    assert (await who.refused(REAPPLY, {"input": wanted}))["extensions"]["code"] == "FORBIDDEN"
    assert (await florin.traces(), await listed(margaret)) == before
