"""Webhook deliveries over real sockets: signatures, repetition, and what survives a restart."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import stripe

from sandbox.deliveries import sign
from sandbox.server import SandboxConfig, WebhookTarget
from tests.sandbox.driver import Driver, Json, driving, listening
from tests.sandbox.receiver import DEADLINE_SECONDS, Delivery, receiving

_SECRET = "whsec_known_to_both"


def _config(*urls: str, events: tuple[str, ...] = ("*",), state_path: Path | None = None) -> SandboxConfig:
    targets = tuple(WebhookTarget(url, _SECRET, events) for url in urls)
    return SandboxConfig(webhooks=targets, state_path=state_path)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again until it holds: what the deliverer writes down after its answer has no other sign."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - each look yields to the server that is looked at
            await asyncio.sleep(0)


async def _delivered(sandbox: Driver, event: Json) -> None:
    async def condition() -> bool:
        return bool((await sandbox.get(f"/v1/events/{event['id']}"))["pending_webhooks"] == 0)

    await _until(condition)


async def test_an_event_is_delivered_signed() -> None:
    async with (
        receiving() as receiver,
        listening(_config(receiver.url, events=("payment_intent.succeeded",))) as sandbox,
    ):
        intent = await sandbox.pay()
        delivery = await receiver.next()

        parts = dict(part.split("=", 1) for part in delivery.signature.split(","))
        signed = parts["t"].encode() + b"." + delivery.body
        assert parts["v1"] == hmac.new(_SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert abs(int(parts["t"]) - time.time()) < 300
        event = stripe.Webhook.construct_event(delivery.body, delivery.signature, _SECRET)
        assert (event.type, event.data.object["id"]) == ("payment_intent.succeeded", intent["id"])
        assert delivery.event["pending_webhooks"] == 1
        await _delivered(sandbox, delivery.event)
        assert (await sandbox.get("/v1/events", {"delivery_success": False}))["data"] == []
        assert receiver.received.empty()


async def test_every_listening_endpoint_gets_its_own_and_created_ones_their_own_secret() -> None:
    async with receiving() as first, receiving() as second, listening(_config(first.url)) as sandbox:
        created = await sandbox.post(
            "/v1/webhook_endpoints", {"url": second.url, "enabled_events[]": "charge.succeeded"}
        )
        assert created["secret"].startswith("whsec_")
        assert "secret" not in await sandbox.get(f"/v1/webhook_endpoints/{created['id']}")
        await sandbox.pay()

        types = {(await first.next()).event["type"] for _ in range(3)}
        assert types == {"payment_intent.created", "charge.succeeded", "payment_intent.succeeded"}
        delivery = await second.next()
        assert delivery.signature == sign(delivery.body, created["secret"], int(delivery.signature[2:].split(",")[0]))


@pytest.mark.parametrize("status", [301, 400, 500])
async def test_an_event_comes_again_until_it_is_taken(status: int) -> None:
    async with receiving() as receiver, listening(_config(receiver.url, events=("payment_intent.created",))) as sandbox:
        receiver.statuses = [status, status]
        await sandbox.unconfirmed()
        first = await receiver.next()

        async def rescheduled() -> bool:
            rows = sandbox.machine.store.connection.execute("SELECT attempts FROM deliveries").fetchall()
            return rows == [(1,)]

        await _until(rescheduled)
        undelivered = await sandbox.get("/v1/events", {"delivery_success": False})
        assert [event["pending_webhooks"] for event in undelivered["data"]] == [1]
        await sandbox.pass_time(3_600)
        second = await receiver.next()

        async def rescheduled_again() -> bool:
            rows = sandbox.machine.store.connection.execute("SELECT attempts FROM deliveries").fetchall()
            return rows == [(2,)]

        await _until(rescheduled_again)
        await sandbox.pass_time(3_600)
        third = await receiver.next()

        assert first.event["id"] == second.event["id"] == third.event["id"]
        await _delivered(sandbox, first.event)
        assert len((await sandbox.get("/v1/events", {"delivery_success": True}))["data"]) == 1


async def test_a_disabled_or_deleted_endpoint_gets_nothing() -> None:
    async with receiving() as receiver, listening(SandboxConfig()) as sandbox:
        made = [
            await sandbox.post("/v1/webhook_endpoints", {"url": receiver.url, "enabled_events[]": "*"})
            for _ in range(2)
        ]
        await sandbox.post(f"/v1/webhook_endpoints/{made[0]['id']}", {"disabled": True})
        await sandbox.delete(f"/v1/webhook_endpoints/{made[1]['id']}")
        await sandbox.unconfirmed()
        event = (await sandbox.get("/v1/events"))["data"][0]
        assert event["pending_webhooks"] == 0


async def test_undelivered_events_survive_a_restart(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = _config(receiver.url, events=("charge.succeeded",), state_path=tmp_path / "state.db")
        # Without its background work the sandbox delivers nothing, as if it had been killed at once.
        async with driving(config) as sandbox:
            intent = await sandbox.pay()
        async with listening(config) as sandbox:
            delivery: Delivery = await receiver.next()
            assert delivery.event["data"]["object"]["id"] == intent["latest_charge"]
            await _delivered(sandbox, delivery.event)


@pytest.mark.parametrize("params", [{"url": "ftp://127.0.0.1/"}, {"enabled_events[]": "Everything"}])
async def test_endpoints_are_checked(sandbox: Driver, params: Json) -> None:
    await sandbox.refused(
        400, "POST", "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/", "enabled_events[]": "*", **params}
    )


async def test_a_timer_goes_off_by_itself_and_tells() -> None:
    async with receiving() as receiver:
        target = WebhookTarget(receiver.url, _SECRET, ("charge.dispute.created",))
        async with listening(SandboxConfig(webhooks=(target,), settlement_delay_seconds=0.01)) as sandbox:
            await sandbox.pay("pm_card_createDispute")
            assert (await receiver.next()).event["data"]["object"]["object"] == "dispute"
