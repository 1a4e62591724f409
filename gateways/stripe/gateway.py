"""Stripe as the card processor: the port's methods, each under one deadline, each with one of the port's three answers."""

import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from domain.money import Money
from domain.payments.gateway import (
    ChargeOrder,
    ChargeReport,
    DisputeReport,
    RefundOrder,
    RefundReport,
    RejectionKind,
    RequestRejected,
)
from domain.payments.transaction import Failure, PaymentMethodSummary
from domain.text import is_processor_id
from gateways.stripe.account import Account
from gateways.stripe.calls import CallObserver, Calls
from gateways.stripe.charges import Charges
from gateways.stripe.client import Transport, open_client
from gateways.stripe.disputes import Disputes
from gateways.stripe.errors import CallFailed
from gateways.stripe.outcome import one_outcome
from gateways.stripe.refunds import Refunds

_SECRET_KEY = re.compile(r"[A-Za-z0-9_]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeConfig:
    """How to reach Stripe. Raises ValueError for a key or an address that cannot be right.

    `deadline_seconds` bounds each method of the gateway, repetitions and pauses included. `account_id` is the account that
    the key belongs to; where it is None, Stripe is asked.
    """

    secret_key: str = field(repr=False)
    api_base: str = "https://api.stripe.com"
    deadline_seconds: float = 15.0
    account_id: str | None = None
    connections_max: int = 100
    idle_connections_max: int = 20

    def __post_init__(self) -> None:
        if not _SECRET_KEY.fullmatch(self.secret_key):
            raise ValueError("Stripe's secret key is letters, digits and underscores.")
        address = urlsplit(self.api_base)
        if address.scheme not in {"http", "https"} or not address.hostname or address.path.strip("/") or address.query:
            raise ValueError("Stripe's API base is a scheme and a host, such as https://api.stripe.com.")
        if "_live_" in self.secret_key and address.scheme != "https":
            raise ValueError("A live key is only ever sent over https.")
        if self.deadline_seconds <= 0:
            raise ValueError("The deadline is more than zero seconds.")


class StripeGateway:
    """The ports PaymentGateway and OwnAccount over Stripe's API. Close it when the program ends.

    `observe` is told of each call. `transport` replaces the network; a program leaves it out.
    """

    def __init__(
        self,
        config: StripeConfig,
        *,
        observe: CallObserver | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        limits = httpx2.Limits(
            max_connections=config.connections_max, max_keepalive_connections=config.idle_connections_max
        )
        self._deadline_seconds = config.deadline_seconds
        self._transport = Transport(limits=limits, transport=transport)
        client = open_client(
            secret_key=config.secret_key, api_base=config.api_base.rstrip("/"), transport=self._transport
        )
        calls = Calls(observe)
        self._charges = Charges(client, calls)
        self._refunds = Refunds(client, calls)
        self._account = Account(client, calls)
        self._account_id = config.account_id
        self._disputes = Disputes(client, calls)

    async def close(self) -> None:
        """Close the connections to Stripe."""
        await self._transport.close_async()

    async def find_payment_method(self, payment_method_id: str) -> PaymentMethodSummary | None:
        _refuse_malformed(payment_method_id)
        async with self._one_outcome("find_payment_method"):
            try:
                return await self._charges.find_payment_method(payment_method_id)
            except CallFailed as failed:
                if failed.definite and failed.status == 404:
                    raise RequestRejected(RejectionKind.PAYMENT_METHOD, failed.failure) from failed
                raise

    async def create_charge(self, order: ChargeOrder, *, key: str) -> ChargeReport:
        async with self._one_outcome("create_charge"):
            return await self._charges.create(order, key=key)

    async def confirm_charge(self, reference: str, *, return_url: str | None, key: str) -> ChargeReport:
        async with self._one_outcome("confirm_charge"):
            return await self._charges.confirm(reference, return_url=return_url, key=key)

    async def capture_charge(self, reference: str, money: Money, *, key: str) -> ChargeReport:
        async with self._one_outcome("capture_charge"):
            return await self._charges.capture(reference, money, key=key)

    async def cancel_charge(self, reference: str, *, key: str) -> ChargeReport:
        async with self._one_outcome("cancel_charge"):
            return await self._charges.cancel(reference, key=key)

    async def look_up_charge(self, reference: str) -> ChargeReport:
        async with self._one_outcome("look_up_charge"):
            return await self._charges.look_up(reference)

    async def refund_charge(self, order: RefundOrder, *, key: str) -> RefundReport:
        async with self._one_outcome("refund_charge"):
            return await self._refunds.create(order, key=key)

    async def look_up_refund(self, reference: str) -> RefundReport:
        async with self._one_outcome("look_up_refund"):
            return await self._refunds.look_up(reference)

    async def list_refunds(self, charge_reference: str) -> list[RefundReport]:
        async with self._one_outcome("list_refunds"):
            return await self._refunds.list_for(charge_reference)

    async def look_up_dispute(self, reference: str) -> DisputeReport:
        async with self._one_outcome("look_up_dispute"):
            return await self._disputes.look_up(reference)

    async def account(self) -> str:
        if self._account_id is None:
            async with self._one_outcome("account"):
                self._account_id = await self._account.look_up()
        return self._account_id

    def _one_outcome(self, act: str) -> AbstractAsyncContextManager[None]:
        return one_outcome(act, deadline_seconds=self._deadline_seconds)


def _refuse_malformed(payment_method_id: str) -> None:
    """Refuse an id that Stripe cannot have given: it would become part of an address, and ".." leads elsewhere."""
    if not is_processor_id(payment_method_id):
        message = "No payment method has such an id."
        raise RequestRejected(RejectionKind.PAYMENT_METHOD, Failure("resource_missing", message))
