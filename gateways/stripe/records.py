"""Stripe's lists: PaymentIntents, refunds, disputes and balance transactions for reconciliation, and events that were missed.

All are read page by page, newest first.

Source: docs.stripe.com/api/pagination, docs.stripe.com/api/balance_transactions/object and
docs.stripe.com/reports/balance-transaction-types.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import httpx2
import structlog

from domain.messaging.webhook_events import WebhookEvent
from domain.payments.gateway import ChargeReport, DisputeReport, OutcomeUnknown, RefundReport
from domain.reconciliation.records import BalanceEntry, Dated, Window
from gateways.stripe.balance import balance_entry
from gateways.stripe.calls import Calls
from gateways.stripe.client import Transport, open_client
from gateways.stripe.disputes import dispute_report
from gateways.stripe.errors import CallFailed
from gateways.stripe.events import HANDLED_TYPES, read_event
from gateways.stripe.gateway import StripeConfig
from gateways.stripe.outcome import one_outcome
from gateways.stripe.reports import charge_report, is_ours, refund_report
from gateways.stripe.shapes import Json, OddShape, listed, moment, text, truth, whole

PAGE_SIZE = 100
PAGE_BYTES_MAX = 16 * 1024 * 1024
"""The largest page that is read. A hundred PaymentIntents with their charges are about 1 MB; metadata may make it 6."""

# Reading everything must not take the connections that payments need.
_LIMITS = httpx2.Limits(max_connections=4, max_keepalive_connections=2)

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_RATE_LIMIT_PAUSES_MAX: Final = 20
"""How often a page waits for a rate limit to pass: about nine minutes in all."""

R = TypeVar("R")

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class StripeRecords:
    """The ports ProcessorRecords and EventSource over Stripe's API, with connections of its own. Close it when the program ends.

    The configuration's deadline is each page's, not the whole list's. `transport` replaces the network;
    `first_pause_seconds` is how long the first wait for a rate limit is. A program leaves both out.
    """

    def __init__(
        self,
        config: StripeConfig,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        first_pause_seconds: float = _FIRST_PAUSE_SECONDS,
    ) -> None:
        self._deadline_seconds = config.deadline_seconds
        self._first_pause_seconds = first_pause_seconds
        self._transport = Transport(limits=_LIMITS, transport=transport, answer_bytes_max=PAGE_BYTES_MAX)
        self._client = open_client(
            secret_key=config.secret_key, api_base=config.api_base.rstrip("/"), transport=self._transport
        )
        self._calls = Calls()

    async def close(self) -> None:
        """Close the connections to Stripe."""
        await self._transport.close_async()

    async def charges(self, window: Window) -> AsyncIterator[Dated[ChargeReport]]:
        expand = ["data.latest_charge.balance_transaction"]
        async for intent in self._objects("payment_intents", _created(window), expand=expand):
            report = _read(intent, lambda found: Dated(charge_report(found), moment(found, "created")))
            if report is not None:
                yield report

    async def refunds(self, window: Window) -> AsyncIterator[Dated[RefundReport]]:
        async for refund in self._objects("refunds", _created(window), expand=["data.balance_transaction"]):
            report = _read(refund, lambda found: Dated(refund_report(found), moment(found, "created")))
            if report is not None:
                yield report

    async def disputes(self, window: Window) -> AsyncIterator[Dated[DisputeReport]]:
        async for dispute in self._objects("disputes", _created(window)):
            report = _read(dispute, lambda found: Dated(dispute_report(found), moment(found, "created")))
            if report is not None:
                yield report

    async def balance_entries(self, window: Window) -> AsyncIterator[BalanceEntry]:
        async for entry in self._objects("balance_transactions", _created(window), expand=["data.source"]):
            read = _read(entry, balance_entry)
            if read is not None:
                yield read

    async def events(
        self, since: datetime, until: datetime | None, *, undelivered: bool
    ) -> AsyncGenerator[WebhookEvent, None]:
        created = {"gte": int(since.timestamp())}
        if until is not None:
            created["lt"] = int(until.timestamp())
        chosen: dict[str, object] = {"types": list(HANDLED_TYPES)}
        if undelivered:
            chosen["delivery_success"] = False
        async with aclosing(self._objects("events", created, **chosen)) as listed_events:
            async for found in listed_events:
                event = _read(found, _event)
                if event is not None:
                    yield event

    async def _objects(self, name: str, created: Mapping[str, int], **chosen: object) -> AsyncGenerator[Json, None]:
        """Every object of a list, in the list's order. Raises OutcomeUnknown."""
        params: dict[str, object] = {"limit": PAGE_SIZE, "created": created, **chosen}
        followed: set[str] = set()
        more = True
        while more:
            async with one_outcome(f"{name}.list", deadline_seconds=None):
                page = await self._page(f"{name}.list", partial(self._ask, f"/v1/{name}", params))
                objects = listed(page)
                more = truth(page, "has_more")
                if more:
                    last = text(objects[-1], "id") if objects else ""
                    if not last or last in followed:
                        raise OddShape("the list says that there is more, and does not go on")
                    followed.add(last)
                    params = {**params, "starting_after": last}
            for found in objects:
                yield found

    def _ask(self, path: str, params: Mapping[str, object]) -> Awaitable[object]:
        # The SDK's typed services make an object of each thing in an answer: of a page that takes 10 to 20 times as long as
        # everything else. The raw way leaves the JSON as it is.
        return self._client.raw_request_async("get", path, **params)

    async def _page(self, endpoint: str, request: Callable[[], Awaitable[object]]) -> Json:
        """One page, within one deadline for each try. A rate limit is waited for: nothing here is urgent."""
        pause = self._first_pause_seconds
        for _ in range(_RATE_LIMIT_PAUSES_MAX):
            try:
                return await self._try(endpoint, request)
            except CallFailed as failed:
                if not failed.rate_limited:
                    raise
            _log.warning("processor_rate_limit", endpoint=endpoint, pause_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return await self._try(endpoint, request)

    async def _try(self, endpoint: str, request: Callable[[], Awaitable[object]]) -> Json:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return (await self._calls.send(endpoint, request)).data
        except TimeoutError:
            raise OutcomeUnknown(f"{endpoint}: no answer within {self._deadline_seconds} s") from None


def _created(window: Window) -> Mapping[str, int]:
    return {"gte": int(window.start.timestamp()), "lt": int(window.end.timestamp())}


def _event(found: Json) -> WebhookEvent:
    """An event of the list, with the message that it would have been delivered in. Raises OddShape."""
    try:
        return read_event(found, json.dumps(found).encode(), signed_at=whole(found, "created"))
    except (ValueError, OverflowError, OSError) as error:
        raise OddShape("the event has a date that no calendar has") from error


def _read(found: Json, read: Callable[[Json], R]) -> R | None:
    """What an object says; None for one that cannot be read and is none of ours. Raises OutcomeUnknown for one of ours.

    Others may use the account in ways that are unknown here, and must not keep us from looking at our own.
    """
    try:
        return read(found)
    except OddShape as odd:
        if is_ours(found):
            raise OutcomeUnknown(f"an object of the list cannot be read: {odd}") from odd
        _log.warning("processor_record_skipped", reason=str(odd))
        return None
