"""Disputes of PaymentIntents. Source of the fields: docs.stripe.com/api/disputes/object."""

from datetime import UTC, datetime

import stripe
import structlog

from domain.money import Money
from domain.payments.dispute import DisputeStatus
from domain.payments.gateway import BalanceMovement, DisputeReport
from gateways.stripe.calls import Calls
from gateways.stripe.reports import currency_of
from gateways.stripe.shapes import (
    Json,
    OddShape,
    mapping,
    maybe_mapping,
    maybe_reference,
    maybe_text,
    maybe_whole,
    signed,
    text,
    truth,
    whole,
)

_STATUSES = {
    # A warning is an inquiry: the bank only asks, and takes no money yet.
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.INQUIRY_CLOSED,
    "prevented": DisputeStatus.INQUIRY_CLOSED,
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Disputes:
    """Stripe's disputes. Every method may raise CallFailed and OddShape."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._disputes = client.v1.disputes
        self._calls = calls

    async def look_up(self, reference: str) -> DisputeReport:
        answer = await self._calls.send("disputes.retrieve", lambda: self._disputes.retrieve_async(reference))
        return dispute_report(answer.data)


def dispute_report(dispute: Json) -> DisputeReport:
    """What a Dispute says. Raises OddShape."""
    processor_status = text(dispute, "status")
    if processor_status not in _STATUSES:
        _log.warning("processor_status_unknown", object="dispute", status=processor_status[:50])
    # A dispute of a charge that was made without a PaymentIntent names the charge only; no charge of ours is like that.
    charge_reference = maybe_reference(dispute, "payment_intent") or maybe_reference(dispute, "charge")
    if charge_reference is None:
        raise OddShape("the dispute names no charge")
    return DisputeReport(
        reference=text(dispute, "id"),
        charge_reference=charge_reference,
        # Until a status is known here the money counts as disputed, so that it is not refunded on top.
        status=_STATUSES.get(processor_status, DisputeStatus.NEEDS_RESPONSE),
        processor_status=processor_status,
        money=Money(whole(dispute, "amount"), currency_of(dispute)),
        reason=(maybe_text(dispute, "reason") or "general")[:64],
        live=truth(dispute, "livemode"),
        evidence_due_at=_due_at(dispute),
        movements=_movements(dispute),
    )


def _due_at(dispute: Json) -> datetime | None:
    due = maybe_whole(maybe_mapping(dispute, "evidence_details") or {}, "due_by")
    try:
        return None if due is None else datetime.fromtimestamp(due, UTC)
    except (ValueError, OverflowError, OSError):
        raise OddShape("due_by is no time") from None


def _movements(dispute: Json) -> tuple[BalanceMovement, ...]:
    """What was taken from our balance and put back: the dispute's balance transactions, which Stripe always sends whole."""
    entries = dispute.get("balance_transactions")
    if not isinstance(entries, list):
        raise OddShape("balance_transactions is no list")
    return tuple(_movement(mapping(entry, "a balance transaction")) for entry in entries)


def _movement(entry: Json) -> BalanceMovement:
    currency = currency_of(entry)
    return BalanceMovement(
        reference=text(entry, "id"),
        amount=Money(signed(entry, "amount"), currency),
        fee=Money(signed(entry, "fee"), currency),
    )
