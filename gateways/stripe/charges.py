"""Charges are PaymentIntents: created unconfirmed, then confirmed, and captured or canceled where capture is manual."""

from dataclasses import replace

import stripe
from stripe.params import (
    PaymentIntentCaptureParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
)

from domain.ids import IdKind, encode
from domain.money import Money
from domain.payments.gateway import ChargeOrder, ChargeReport, ChargeStatus
from domain.payments.transaction import CaptureMethod, PaymentMethodSummary
from gateways.stripe.calls import Answer, Calls
from gateways.stripe.errors import CallFailed
from gateways.stripe.reports import TRANSACTION_LABEL, charge_report, payment_method_summary
from gateways.stripe.shapes import text

# The fee stands in the charge's balance transaction, and the card in the payment method.
EXPANDED = ["latest_charge.balance_transaction", "payment_method"]


class Charges:
    """Stripe's PaymentIntents. Every method may raise CallFailed and OddShape."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._intents = client.v1.payment_intents
        self._methods = client.v1.payment_methods
        self._calls = calls

    async def find_payment_method(self, payment_method_id: str) -> PaymentMethodSummary | None:
        answer = await self._calls.send(
            "payment_methods.retrieve", lambda: self._methods.retrieve_async(payment_method_id)
        )
        return payment_method_summary(answer.data)

    async def create(self, order: ChargeOrder, *, key: str) -> ChargeReport:
        manual = order.capture_method is CaptureMethod.MANUAL
        params: PaymentIntentCreateParams = {
            "amount": order.money.minor_units,
            "currency": order.money.currency.lower(),
            "payment_method": order.payment_method_id,
            # The SDK's types describe a later version of the API than the one that is pinned.
            "payment_method_types": ["card"],  # type: ignore[typeddict-unknown-key]
            "capture_method": "manual" if manual else "automatic",
            "metadata": {TRANSACTION_LABEL: encode(IdKind.TRANSACTION, order.transaction_id)},
            "expand": EXPANDED,
        }
        if order.description is not None:
            params["description"] = order.description
        try:
            answer = await self._calls.send(
                "payment_intents.create", lambda: self._intents.create_async(params, {"idempotency_key": key})
            )
        except CallFailed as failed:
            if failed.definite and failed.status == 402 and failed.payment_intent is not None:
                return await self._declined(text(failed.payment_intent, "id"), failed)
            raise
        return await self._as_it_is_now(answer)

    async def confirm(self, reference: str, *, return_url: str | None, key: str) -> ChargeReport:
        params: PaymentIntentConfirmParams = {"expand": EXPANDED}
        if return_url is not None:
            params["return_url"] = return_url
        try:
            answer = await self._calls.send(
                "payment_intents.confirm",
                lambda: self._intents.confirm_async(reference, params, {"idempotency_key": key}),
            )
        except CallFailed as failed:
            return await self._after_refusal(reference, failed)
        return await self._as_it_is_now(answer)

    async def capture(self, reference: str, money: Money, *, key: str) -> ChargeReport:
        params: PaymentIntentCaptureParams = {"amount_to_capture": money.minor_units, "expand": EXPANDED}
        try:
            answer = await self._calls.send(
                "payment_intents.capture",
                lambda: self._intents.capture_async(reference, params, {"idempotency_key": key}),
            )
        except CallFailed as failed:
            return await self._after_refusal(reference, failed)
        return await self._as_it_is_now(answer)

    async def cancel(self, reference: str, *, key: str) -> ChargeReport:
        try:
            answer = await self._calls.send(
                "payment_intents.cancel",
                lambda: self._intents.cancel_async(reference, {"expand": EXPANDED}, {"idempotency_key": key}),
            )
        except CallFailed as failed:
            return await self._after_refusal(reference, failed)
        return await self._as_it_is_now(answer)

    async def look_up(self, reference: str) -> ChargeReport:
        answer = await self._calls.send(
            "payment_intents.retrieve", lambda: self._intents.retrieve_async(reference, {"expand": EXPANDED})
        )
        return charge_report(answer.data)

    async def _as_it_is_now(self, answer: Answer) -> ChargeReport:
        """The report of an answer. One kept under the key tells what was true when it was first given: look again."""
        if answer.replayed:
            return await self.look_up(text(answer.data, "id"))
        return charge_report(answer.data)

    async def _after_refusal(self, reference: str, failed: CallFailed) -> ChargeReport:
        """What a charge is after Stripe refused to change it. Raises CallFailed where that says nothing of the charge."""
        if not failed.definite:
            raise failed
        if failed.status == 402:
            return await self._declined(reference, failed)
        if failed.code != "payment_intent_unexpected_state":
            raise failed
        try:
            return await self.look_up(reference)
        except CallFailed:
            if failed.payment_intent is None or failed.replayed:
                raise
            return charge_report(failed.payment_intent)

    async def _declined(self, reference: str, failed: CallFailed) -> ChargeReport:
        """The charge after its card was refused; the error itself says why where the charge does not."""
        if failed.payment_intent is None or failed.replayed:
            report = await self.look_up(reference)
        else:
            report = charge_report(failed.payment_intent)
        match report.status:
            case ChargeStatus.UNCONFIRMED:
                return replace(report, status=ChargeStatus.DECLINED, failure=failed.failure)
            case ChargeStatus.AUTHORIZED:
                # The capture was refused, and the money is still only reserved.
                raise failed
            case _:
                return report
