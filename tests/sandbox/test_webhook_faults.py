"""Webhooks that are lost, doubled, late and out of order, to a real receiver."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import stripe

from sandbox import clock
from sandbox.operation import EVENT_TYPES
from sandbox.server import SandboxConfig, WebhookTarget
from tests.sandbox.driver import KEY, Driver, Json, driving, listening
from tests.sandbox.receiver import DEADLINE_SECONDS, Receiver, receiving

_SECRET = "whsec_known_to_both"


@asynccontextmanager
async def _told() -> AsyncIterator[tuple[Driver, Receiver]]:
    async with receiving() as receiver:
        target = WebhookTarget(receiver.url, _SECRET)
        async with listening(SandboxConfig(webhooks=(target,))) as sandbox:
            yield sandbox, receiver


async def _next(receiver: Receiver) -> Json:
    """Of which the signature is verified, whatever happened to it on the way."""
    delivery = await receiver.next()
    stripe.Webhook.construct_event(delivery.body, delivery.signature, _SECRET)
    return delivery.event


async def _next_types(receiver: Receiver, count: int) -> list[str]:
    return [(await _next(receiver))["type"] for _ in range(count)]


async def _nothing_but_a_sentinel(sandbox: Driver, receiver: Receiver) -> None:
    """Everything that is due is delivered before or beside an event of now; only that one comes."""
    await sandbox.post("/v1/customers")
    assert await _next_types(receiver, 1) == ["customer.created"]
    assert receiver.received.empty()


async def _undelivered(sandbox: Driver) -> list[str]:
    return [event["type"] for event in (await sandbox.get("/v1/events", {"delivery_success": False}))["data"]]


async def _until_all_delivered(sandbox: Driver) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await _undelivered(sandbox):  # noqa: ASYNC110 - each look yields to the server that is looked at
            await asyncio.sleep(0)


async def test_a_lost_event_never_comes_and_a_sweep_can_find_it() -> None:
    async with _told() as (sandbox, receiver):
        await sandbox.control("faults", {"kind": "lose", "event": "charge.succeeded"})
        intent = await sandbox.pay()
        assert set(await _next_types(receiver, 2)) == {"payment_intent.created", "payment_intent.succeeded"}

        await sandbox.pass_time(4 * 86_400)
        await _nothing_but_a_sentinel(sandbox, receiver)
        lost = (await sandbox.get("/v1/events", {"delivery_success": False, "types[]": "charge.succeeded"}))["data"]
        assert [event["data"]["object"]["id"] for event in lost] == [intent["latest_charge"]]
        assert lost[0]["pending_webhooks"] == 1


async def test_a_doubled_event_comes_twice() -> None:
    async with _told() as (sandbox, receiver):
        await sandbox.control("faults", {"kind": "double", "event": "payment_intent.created"})
        await sandbox.unconfirmed()
        first, second = await _next(receiver), await _next(receiver)
        assert first["id"] == second["id"]
        assert first["pending_webhooks"] == 1
        await _until_all_delivered(sandbox)


async def test_a_late_event_comes_when_the_clock_has_moved() -> None:
    async with _told() as (sandbox, receiver):
        await sandbox.control("faults", {"kind": "late", "event": "payment_intent.created", "seconds": 3_600})
        await sandbox.unconfirmed()
        await _nothing_but_a_sentinel(sandbox, receiver)
        assert await _undelivered(sandbox) == ["payment_intent.created"]
        await sandbox.pass_time(3_600)
        assert await _next_types(receiver, 1) == ["payment_intent.created"]


async def test_a_reordered_event_comes_after_the_next_one() -> None:
    async with _told() as (sandbox, receiver):
        await sandbox.control("faults", {"kind": "reorder", "event": "payment_intent.*", "seconds": 600, "times": 2})
        await sandbox.unconfirmed()
        await sandbox.post("/v1/customers")
        assert await _next_types(receiver, 2) == ["customer.created", "payment_intent.created"]

        await sandbox.unconfirmed()
        # While one waits, the next is not held back as well, or else the two would wait for each other.
        await sandbox.unconfirmed()
        [first, second] = [await _next(receiver) for _ in range(2)]
        assert [first["type"], second["type"]] == ["payment_intent.created"] * 2
        listed = (await sandbox.get("/v1/events", {"limit": 2}))["data"]
        assert [first["id"], second["id"]] == [event["id"] for event in listed]


async def test_an_event_that_nothing_passes_is_not_held_back_for_ever() -> None:
    async with _told() as (sandbox, receiver):
        await sandbox.control("faults", {"kind": "reorder"})
        await sandbox.unconfirmed()
        assert await _undelivered(sandbox) == ["payment_intent.created"]
        await sandbox.pass_time(10)
        assert await _next_types(receiver, 1) == ["payment_intent.created"]


async def test_a_fault_is_not_used_up_by_what_was_undone() -> None:
    config = SandboxConfig(webhooks=(WebhookTarget("http://127.0.0.1:9/", _SECRET),))
    async with driving(config) as sandbox:
        lose = await sandbox.control("faults", {"kind": "lose"})
        await sandbox.fault("customers.create", "error_without_effect")
        await sandbox.refused(500, "POST", "/v1/customers")
        assert await sandbox.get(f"/_sandbox/faults/{lose['id']}") == lose
        await sandbox.post("/v1/customers")
        assert (await sandbox.get(f"/_sandbox/faults/{lose['id']}"))["remaining"] == 0


async def test_an_event_for_nobody_uses_up_nothing(sandbox: Driver) -> None:
    lose = await sandbox.control("faults", {"kind": "lose"})
    await sandbox.unconfirmed()
    assert (await sandbox.get(f"/_sandbox/faults/{lose['id']}"))["matched"] == 0


async def test_faults_of_events_are_seeded_like_the_others() -> None:
    async def course(seed: str) -> list[str]:
        config = SandboxConfig(webhooks=(WebhookTarget("http://127.0.0.1:9/", _SECRET),))
        async with driving(config) as sandbox:
            await sandbox.control("faults", {"kind": "double", "probability": 0.5, "seed": seed})
            for _ in range(40):
                await sandbox.post("/v1/customers")
            query = "SELECT count(*) FROM deliveries GROUP BY event ORDER BY min(id)"
            return [str(count) for (count,) in sandbox.machine.store.connection.execute(query)]

    assert await course("seven") == await course("seven") != await course("eight")
    assert set(await course("seven")) == {"1", "2"}


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"kind": "lose", "event": "charge.suceeded"}, "event"),
        ({"kind": "lose", "endpoint": "refunds.create"}, "endpoint"),
        ({"kind": "rate_limit", "event": "charge.succeeded"}, "event"),
        ({"kind": "late"}, "seconds"),
        ({"kind": "double", "seconds": 1}, "seconds"),
    ],
)
async def test_they_are_checked(sandbox: Driver, params: Json, param: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    response = await sandbox.client.post("/_sandbox/faults", json=params, headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert (await sandbox.get("/_sandbox/faults"))["data"] == []


def test_every_type_of_event_has_a_name_to_ask_for() -> None:
    sources = Path(clock.__file__).parent.glob("*.py")
    emitted = {name for source in sources for name in re.findall(r'emit\("([a-z_.]+)"', source.read_text())}
    assert set(EVENT_TYPES) == emitted


async def test_while_the_clock_stands_still_everything_happens_in_one_second(
    sandbox: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await sandbox.control("clock", {"held": True})
    assert held["held"] is True
    await sandbox.pay()
    machine_time = time.time()
    monkeypatch.setattr("sandbox.clock.time.time", lambda: machine_time + 100)
    await sandbox.pay()
    events = (await sandbox.get("/v1/events"))["data"]
    assert {event["created"] for event in events} == {held["now"]}
    assert len(events) == 6

    await sandbox.pass_time(5)
    await sandbox.unconfirmed()
    released = await sandbox.control("clock", {"held": False})
    assert (released["held"], released["now"]) == (False, held["now"] + 5)
    monkeypatch.setattr("sandbox.clock.time.time", lambda: machine_time + 107)
    assert (await sandbox.get("/_sandbox/clock"))["now"] in {held["now"] + 11, held["now"] + 12}


async def test_a_clock_that_stands_still_does_so_after_a_restart(tmp_path: Path) -> None:
    config = SandboxConfig(state_path=tmp_path / "state.db")
    async with driving(config) as sandbox:
        held = await sandbox.control("clock", {"held": True, "advance_seconds": 1_000})
    async with driving(config) as sandbox:
        assert await sandbox.get("/_sandbox/clock") == held


async def test_the_clock_never_runs_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SandboxConfig(state_path=tmp_path / "state.db")
    async with driving(config) as sandbox:
        created = (await sandbox.unconfirmed())["created"]
        machine_time = time.time()
        monkeypatch.setattr("sandbox.clock.time.time", lambda: machine_time - 1_000)
        assert (await sandbox.unconfirmed())["created"] >= created
    async with driving(config) as sandbox:
        assert (await sandbox.unconfirmed())["created"] >= created


@pytest.mark.parametrize("params", [{}, {"held": "perhaps"}, {"advance_seconds": -1}, {"advance": 1}])
async def test_the_clock_takes_nothing_else(sandbox: Driver, params: Json) -> None:
    before = await sandbox.get("/_sandbox/clock")
    await sandbox.refused(400, "POST", "/_sandbox/clock", params)
    assert (await sandbox.get("/_sandbox/clock"))["offset_seconds"] == before["offset_seconds"]


async def test_after_twenty_nine_days_events_are_there_and_after_thirty_they_are_not(sandbox: Driver) -> None:
    await sandbox.unconfirmed()
    [event] = (await sandbox.get("/v1/events"))["data"]
    await sandbox.pass_time(29 * 86_400)
    assert await sandbox.get(f"/v1/events/{event['id']}") == event
    assert (await sandbox.get("/v1/events"))["data"] == [event]
    await sandbox.pass_time(86_400 + 1)
    await sandbox.refused(404, "GET", f"/v1/events/{event['id']}")
    for params in ({}, {"created[gte]": 0}, {"type": "payment_intent.*"}, {"delivery_success": True}):
        assert (await sandbox.get("/v1/events", params))["data"] == []
