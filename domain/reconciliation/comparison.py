"""What does not agree between the processor's word and ours. Nothing here reads: both sides in, differences out.

One fact is one difference: where the currencies differ, amounts are not compared; where a payment is missing, neither are
its amount and fee.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from domain.currencies import Currency
from domain.ids import IdKind, encode
from domain.money import Money
from domain.payments.gateway import ChargeReport, ChargeStatus, DisputeReport, RefundReport, RefundReportStatus
from domain.payments.refund import HOLDS_NOTHING, Refund, RefundStatus
from domain.payments.transaction import CAPTURED, Transaction, TransactionStatus
from domain.reconciliation.discrepancies import Difference, DiscrepancyKind, Subject, SubjectKind
from domain.reconciliation.own_records import OwnDispute, OwnRefund, OwnTransaction

_K = DiscrepancyKind
_S = TransactionStatus
_C = ChargeStatus

# What the processor may say of a charge while we say this of the transaction. A payment that is still open with us agrees
# with one that is still open there, and recovery asks for it in its own time. A charge that was created and never confirmed
# moves no money; it agrees with a payment that came to nothing too.
_AGREEING: Final = {
    _S.PENDING: frozenset({_C.UNCONFIRMED, _C.PROCESSING}),
    _S.REQUIRES_ACTION: frozenset({_C.REQUIRES_ACTION}),
    _S.AUTHORIZED: frozenset({_C.AUTHORIZED}),
    _S.COMPLETED: frozenset({_C.SUCCEEDED}),
    _S.PARTIALLY_REFUNDED: frozenset({_C.SUCCEEDED}),
    _S.REFUNDED: frozenset({_C.SUCCEEDED}),
    _S.FAILED: frozenset({_C.UNCONFIRMED, _C.DECLINED, _C.CANCELED}),
    _S.CANCELED: frozenset({_C.UNCONFIRMED, _C.CANCELED}),
}
# What waits for approval or was rejected has never been sent, so that whatever the processor says of it is news.
_AGREEING_REFUNDS: Final = {
    RefundStatus.PENDING_APPROVAL: None,
    RefundStatus.PENDING: RefundReportStatus.PENDING,
    RefundStatus.COMPLETED: RefundReportStatus.SUCCEEDED,
    RefundStatus.FAILED: RefundReportStatus.FAILED,
    RefundStatus.REJECTED: RefundReportStatus.FAILED,
}
HOLDS_MONEY: Final = CAPTURED | {_S.AUTHORIZED}
"""The statuses that the processor cannot know nothing of."""


def of_charge(report: ChargeReport, own: OwnTransaction | None, *, account_is_ours_alone: bool) -> list[Difference]:
    """Compare a charge with the transaction that has its reference or, where none has, the one that its label names."""
    subject = Subject(SubjectKind.CHARGE, report.reference)
    taken = _taken(report)
    if own is None:
        return _of_unknown_charge(report, subject, taken, account_is_ours_alone=account_is_ours_alone)
    record = own.record

    def differs(kind: DiscrepancyKind, processor: Money | None, ours: Money | None, summary: str) -> Difference:
        return Difference(
            kind=kind,
            subject=subject,
            transaction_id=record.id,
            processor=processor,
            ours=ours,
            summary=summary,
            under_way=own.under_way,
        )

    if record.processor_reference not in {None, report.reference}:
        if taken is None:
            # Created, and given up for another one: it moved no money and will be canceled.
            return []
        held = f"The processor holds {taken} in {report.reference}, for a transaction whose charge is"
        summary = f"{held} {record.processor_reference}."
        return [differs(_K.DUPLICATE_CHARGE, taken, _captured(record), summary)]
    if report.money.currency is not record.money.currency:
        summary = f"The processor's charge is over {report.money}, ours over {record.money}."
        return [differs(_K.CURRENCY_DIFFERS, report.money, record.money, summary)]
    if report.status not in _AGREEING[record.status]:
        kind = _K.MISSING_HERE if report.status is _C.SUCCEEDED else _K.STATUS_DIFFERS
        summary = f"The processor says {report.processor_status}, we say {record.status}."
        return [differs(kind, taken, _captured(record), summary)]
    found = []
    for what, theirs, ours in _amounts(report, record):
        if theirs != ours:
            found.append(differs(_K.AMOUNT_DIFFERS, theirs, ours, f"The processor's {what} {theirs}, ours {ours}."))
            break
    # Some processors tell the fee a while after the payment: what they have not told cannot differ.
    if report.fee is not None and report.fee != record.fee:
        summary = f"The processor's fee is {report.fee}, ours {record.fee or 'not known'}."
        found.append(differs(_K.FEE_DIFFERS, report.fee, record.fee, summary))
    return found


def of_lost_charge(subject: Subject, own: OwnTransaction | None) -> list[Difference]:
    """The same where the processor knows no such charge."""
    if own is None or own.record.status not in HOLDS_MONEY:
        return []
    record = own.record
    return [
        Difference(
            kind=_K.MISSING_AT_PROCESSOR,
            subject=subject,
            transaction_id=record.id,
            processor=None,
            ours=record.money if record.status is _S.AUTHORIZED else _captured(record),
            summary=f"We say {record.status}, the processor knows no charge {record.processor_reference or 'of it'}.",
            under_way=own.under_way,
        )
    ]


def of_refund(report: RefundReport, own: OwnRefund | None, transaction: OwnTransaction | None) -> list[Difference]:
    """Compare a refund with ours that has its reference or the id in its label, of the transaction that has its charge."""
    subject = Subject(SubjectKind.REFUND, report.reference)
    gone_back = report.status is not RefundReportStatus.FAILED
    if own is None:
        # A refund of somebody else's charge is theirs. One that failed before we heard of it has moved nothing.
        theirs = transaction is None and report.refund_id is None
        if theirs or not gone_back:
            return []
        return [
            Difference(
                kind=_K.REFUND_MISSING_HERE,
                subject=subject,
                transaction_id=None if transaction is None else transaction.record.id,
                processor=report.money,
                ours=None,
                summary=f"The processor has refunded {report.money} of {report.charge_reference}, we know of no refund.",
                under_way=transaction is not None and transaction.under_way,
            )
        ]
    refund = own.record
    found = _duplicate_refund(report, refund, gone_back=gone_back) or _unequal_refund(report, refund)
    if found is None:
        return []
    kind, processor, ours, summary = found
    return [
        Difference(
            kind=kind,
            subject=subject,
            transaction_id=refund.transaction_id,
            processor=processor,
            ours=ours,
            summary=summary,
            under_way=own.under_way,
        )
    ]


def of_lost_refund(subject: Subject, own: OwnRefund | None) -> list[Difference]:
    """The same where the processor knows no such refund."""
    if own is None or own.record.status is not RefundStatus.COMPLETED:
        return []
    refund = own.record
    known = refund.processor_reference or "of it"
    return [
        Difference(
            kind=_K.REFUND_MISSING_AT_PROCESSOR,
            subject=subject,
            transaction_id=refund.transaction_id,
            processor=None,
            ours=refund.money,
            summary=f"We say that {refund.money} went back, the processor knows no refund {known}.",
            under_way=own.under_way,
        )
    ]


def of_dispute(report: DisputeReport, own: OwnDispute | None, transaction: OwnTransaction | None) -> list[Difference]:
    """Compare a dispute with ours that has its reference, of the transaction that has its charge."""
    if transaction is None:
        return []
    told = _told_of_dispute(report.money, report.processor_status, len(report.movements))
    if own is None:
        kind, ours, we_say = _K.DISPUTE_MISSING_HERE, None, "we know of no dispute"
    else:
        record = own.record
        if (report.money, report.status, len(report.movements)) == (record.money, record.status, record.movements):
            return []
        kind, ours = _K.DISPUTE_DIFFERS, record.money
        we_say = f"we say {_told_of_dispute(record.money, record.processor_status, record.movements)}"
    return [
        Difference(
            kind=kind,
            subject=Subject(SubjectKind.DISPUTE, report.reference),
            transaction_id=transaction.record.id,
            processor=report.money,
            ours=ours,
            summary=f"The processor says {told}, {we_say}.",
            under_way=transaction.under_way if own is None else own.under_way,
        )
    ]


def of_lost_dispute(subject: Subject, own: OwnDispute | None) -> list[Difference]:
    """The same where the processor knows no such dispute."""
    if own is None:
        return []
    dispute = own.record
    return [
        Difference(
            kind=_K.DISPUTE_MISSING_AT_PROCESSOR,
            subject=subject,
            transaction_id=dispute.transaction_id,
            processor=None,
            ours=dispute.money,
            summary=f"We say that {dispute.money} are disputed, the processor knows no such dispute.",
            under_way=own.under_way,
        )
    ]


def of_ledger(own: OwnTransaction) -> list[Difference]:
    """Compare a transaction with what the ledger says of it. Both are written at once, so that nothing is under way here."""
    record, ledger = own.record, own.ledger
    fee = {} if record.fee is None else _by_currency(record.fee)
    told = (
        ("captured", _by_currency(_captured(record)), ledger.sold),
        ("refunded", _by_currency(record.in_own_currency(record.refunded)), ledger.refunded),
        ("charged as fee", fee, ledger.fees),
        ("withdrawn by disputes", _by_currency(record.in_own_currency(own.withdrawn)), ledger.disputed),
    )
    wrong = [(what, ours, in_ledger) for what, ours, in_ledger in told if ours != in_ledger]
    if not wrong:
        return []
    _, ours, _ = wrong[0]
    return [
        Difference(
            kind=_K.LEDGER_DIFFERS,
            subject=Subject(SubjectKind.LEDGER, encode(IdKind.TRANSACTION, record.id)),
            transaction_id=record.id,
            processor=None,
            ours=next((Money(amount, currency) for currency, amount in ours.items()), _nothing(record.money)),
            summary=" ".join(
                f"The transaction says that {_spoken(ours)} was {what}, the ledger {_spoken(in_ledger)}."
                for what, ours, in_ledger in wrong
            ),
        )
    ]


def _of_unknown_charge(
    report: ChargeReport, subject: Subject, taken: Money | None, *, account_is_ours_alone: bool
) -> list[Difference]:
    if taken is None:
        return []
    held = f"The processor holds {taken} ({report.processor_status})"
    if report.transaction_id is not None:
        kind = _K.MISSING_HERE
        summary = f"{held} for {encode(IdKind.TRANSACTION, report.transaction_id)}, which does not exist here."
    elif account_is_ours_alone:
        kind, summary = _K.FOREIGN_CHARGE, f"{held} that Florin did not ask for."
    else:
        return []
    return [Difference(kind=kind, subject=subject, transaction_id=None, processor=taken, ours=None, summary=summary)]


def _amounts(report: ChargeReport, record: Transaction) -> Iterable[tuple[str, Money, Money]]:
    """The amounts of a charge that must be equal: what they are, the processor's, ours."""
    yield "charge is over", report.money, record.money
    yield "captured amount is", record.in_own_currency(report.captured), _captured(record)
    if report.settled is not None and report.settled.currency is record.money.currency:
        yield "balance received", report.settled, _captured(record)


_Told: TypeAlias = tuple[DiscrepancyKind, Money, Money, str]
"""A kind, what the processor says, what we say, and both in a sentence."""


def _duplicate_refund(report: RefundReport, refund: Refund, *, gone_back: bool) -> _Told | None:
    if refund.processor_reference in {None, report.reference} or not gone_back:
        return None
    made = f"The processor has refunded {report.money} in {report.reference}, for a refund that it has made in"
    return _K.DUPLICATE_REFUND, report.money, refund.money, f"{made} {refund.processor_reference}."


def _unequal_refund(report: RefundReport, refund: Refund) -> _Told | None:
    if refund.processor_reference not in {None, report.reference}:
        return None
    for what, theirs in _refund_amounts(report, refund):
        if theirs != refund.money:
            return (
                _K.REFUND_AMOUNT_DIFFERS,
                theirs,
                refund.money,
                f"The processor's {what} {theirs}, ours over {refund.money}.",
            )
    if report.status is _AGREEING_REFUNDS[refund.status]:
        return None
    theirs_gone = _nothing(report.money) if report.status is RefundReportStatus.FAILED else report.money
    ours_gone = _nothing(refund.money) if refund.status in HOLDS_NOTHING else refund.money
    summary = f"The processor says that the refund is {report.status}, we say {refund.status}."
    return _K.REFUND_STATUS_DIFFERS, theirs_gone, ours_gone, summary


def _refund_amounts(report: RefundReport, refund: Refund) -> Iterable[tuple[str, Money]]:
    yield "refund is over", report.money
    if report.settled is not None and report.settled.currency is refund.money.currency:
        yield "balance gave", report.settled


def _taken(report: ChargeReport) -> Money | None:
    """The money that the processor took or holds; None where there is none."""
    if report.status is _C.SUCCEEDED:
        return Money(report.captured, report.money.currency)
    return report.money if report.status is _C.AUTHORIZED else None


def _told_of_dispute(money: Money, processor_status: str, movements: int) -> str:
    moved = f"{movements} movement{'' if movements == 1 else 's'} of money"
    return f"{processor_status} over {money} with {moved}"


def _captured(record: Transaction) -> Money:
    return record.in_own_currency(record.captured)


def _nothing(money: Money) -> Money:
    return Money(0, money.currency)


def _by_currency(money: Money) -> dict[Currency, int]:
    return {money.currency: money.minor_units} if money.minor_units else {}


def _spoken(amounts: Mapping[Currency, int]) -> str:
    return " and ".join(str(Money(amount, currency)) for currency, amount in amounts.items()) or "nothing"
