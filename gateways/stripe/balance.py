"""Stripe's BalanceTransaction, told in the words of reconciliation.

Source of the fields: docs.stripe.com/api/balance_transactions/object; of the types:
docs.stripe.com/reports/balance-transaction-types.
"""

from dataclasses import replace
from typing import Final

from domain.money import Money
from domain.payments.gateway import ChargeReport, ChargeStatus, DisputeReport, RefundReport
from domain.reconciliation.records import BalanceEntry, BalanceEntryKind
from gateways.stripe.disputes import dispute_report
from gateways.stripe.reports import currency_of, refund_report, transaction_id_of
from gateways.stripe.shapes import (
    Json,
    OddShape,
    maybe_mapping,
    maybe_reference,
    maybe_text,
    moment,
    signed,
    text,
    truth,
    whole,
)

_KINDS: Final = {
    "charge": BalanceEntryKind.CHARGE,
    "payment": BalanceEntryKind.CHARGE,
    "refund": BalanceEntryKind.REFUND,
    "payment_refund": BalanceEntryKind.REFUND,
    "refund_failure": BalanceEntryKind.REFUND_FAILURE,
    "payment_failure_refund": BalanceEntryKind.REFUND_FAILURE,
}


def balance_entry(entry: Json) -> BalanceEntry:
    """What a BalanceTransaction says, its source being expanded. Raises OddShape."""
    source = maybe_mapping(entry, "source") or {}
    kind = _KINDS.get(text(entry, "type"), BalanceEntryKind.OTHER)
    if maybe_text(source, "object") == "dispute":
        # Its type, adjustment, is that of other corrections too.
        kind = BalanceEntryKind.DISPUTE
    return BalanceEntry(
        reference=text(entry, "id"),
        kind=kind,
        money=Money(signed(entry, "amount"), currency_of(entry)),
        fee=signed(entry, "fee"),
        net=signed(entry, "net"),
        created_at=moment(entry, "created"),
        source=_source(source, entry),
    )


def _source(source: Json, entry: Json) -> ChargeReport | RefundReport | DisputeReport | None:
    match maybe_text(source, "object"):
        case "charge":
            return _captured_charge(source, entry)
        case "refund":
            # An entry of a failure gives back what the refund took.
            taken = Money(abs(signed(entry, "amount")), currency_of(entry))
            return replace(refund_report(source), settled=taken)
        case "dispute":
            return dispute_report(source)
        case _:
            return None


def _captured_charge(charge: Json, entry: Json) -> ChargeReport:
    """A Charge that moved money, told as its PaymentIntent would be. Stripe copies the metadata of one to the other."""
    reference = maybe_reference(charge, "payment_intent") or text(charge, "id")
    fee = signed(entry, "fee")
    if fee < 0:
        raise OddShape("the fee of a charge is negative")
    return ChargeReport(
        reference=reference,
        status=ChargeStatus.SUCCEEDED,
        processor_status=text(charge, "status"),
        money=Money(whole(charge, "amount"), currency_of(charge)),
        captured=whole(charge, "amount_captured"),
        live=truth(charge, "livemode"),
        transaction_id=transaction_id_of(charge),
        fee=Money(fee, currency_of(entry)),
        settled=Money(signed(entry, "amount"), currency_of(entry)),
    )
