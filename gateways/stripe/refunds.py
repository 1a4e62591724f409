"""Refunds of PaymentIntents."""

import stripe
from stripe.params import RefundCreateParams, RefundListParams

from domain.ids import IdKind, encode
from domain.payments.gateway import RefundOrder, RefundReport
from domain.payments.refund import RefundReason
from gateways.stripe.calls import Answer, Calls
from gateways.stripe.reports import REFUND_LABEL, TRANSACTION_LABEL, refund_report
from gateways.stripe.shapes import OddShape, listed, text, truth

# What the refund took from our balance stands in its balance transaction.
EXPANDED = ["balance_transaction"]
PAGE_SIZE = 100
PAGES_MAX = 50


class Refunds:
    """Stripe's refunds. Every method may raise CallFailed and OddShape."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._refunds = client.v1.refunds
        self._calls = calls

    async def create(self, order: RefundOrder, *, key: str) -> RefundReport:
        params: RefundCreateParams = {
            "payment_intent": order.charge_reference,
            "amount": order.money.minor_units,
            "metadata": {
                REFUND_LABEL: encode(IdKind.REFUND, order.refund_id),
                TRANSACTION_LABEL: encode(IdKind.TRANSACTION, order.transaction_id),
            },
            "expand": EXPANDED,
        }
        match order.reason:
            case RefundReason.DUPLICATE:
                params["reason"] = "duplicate"
            case RefundReason.FRAUDULENT:
                params["reason"] = "fraudulent"
            case RefundReason.REQUESTED_BY_CUSTOMER:
                params["reason"] = "requested_by_customer"
            case None:
                pass
        answer = await self._calls.send(
            "refunds.create", lambda: self._refunds.create_async(params, {"idempotency_key": key})
        )
        # An answer kept under the key tells what was true when it was first given; the refund may have failed since.
        return await self.look_up(text(answer.data, "id")) if answer.replayed else refund_report(answer.data)

    async def look_up(self, reference: str) -> RefundReport:
        answer = await self._calls.send(
            "refunds.retrieve", lambda: self._refunds.retrieve_async(reference, {"expand": EXPANDED})
        )
        return refund_report(answer.data)

    async def list_for(self, charge_reference: str) -> list[RefundReport]:
        """Every refund of a charge. Raises OddShape rather than leave one out."""
        reports: list[RefundReport] = []
        for _ in range(PAGES_MAX):
            page = await self._page(charge_reference, after=reports[-1].reference if reports else None)
            refunds = listed(page.data)
            reports += [refund_report(refund) for refund in refunds]
            if not truth(page.data, "has_more"):
                return reports
            if not refunds:
                raise OddShape("a page that says there are more holds none")
        raise OddShape(f"more than {PAGES_MAX} pages of refunds")

    async def _page(self, charge_reference: str, *, after: str | None) -> Answer:
        params: RefundListParams = {
            "payment_intent": charge_reference,
            "limit": PAGE_SIZE,
            "expand": [f"data.{name}" for name in EXPANDED],
        }
        if after is not None:
            params["starting_after"] = after
        return await self._calls.send("refunds.list", lambda: self._refunds.list_async(params))
