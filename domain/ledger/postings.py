"""Which journal entries a change of state calls for. Nothing here reads or writes: state in, postings out.

Debits are positive. An entry balances in each currency by itself, because the processor may settle in another currency than
the one that was paid in; a CONVERSION entry then moves the money from one currency's balance to the other's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import EntryKind, JournalEntry, LedgerEntry, Posting
from domain.money import Money
from domain.payments.dispute import Dispute
from domain.payments.gateway import BalanceMovement
from domain.payments.refund import Refund
from domain.payments.transaction import CaptureMethod, Transaction

_K = AccountKind


def of_charge(before: Transaction, after: Transaction, reference: str, settled: Money | None) -> list[Posting]:
    """What a charge's change calls for. `settled` is as in ChargeReport; the processor tells it together with the fee."""
    postings = []
    gained = after.captured - before.captured
    if gained > 0:
        manual = after.capture_method is CaptureMethod.MANUAL
        # More may be captured later; the total then makes another source of it.
        source = f"{reference}:{after.captured}" if before.captured else reference
        postings.append(
            Posting(
                kind=EntryKind.CAPTURE if manual else EntryKind.CHARGE,
                source=source,
                lines=_sale(after, after.in_own_currency(gained)),
            )
        )
    if after.fee != before.fee:
        postings += _of_fee(before, after, reference)
    if settled is not None and before.fee is None and after.fee is not None:
        postings += _conversion(after.in_own_currency(after.captured), settled, reference)
    return postings


def of_refund_sent(transaction: Transaction, refund: Refund, reference: str, settled: Money | None) -> list[Posting]:
    """The processor has taken a refund's money from our balance: it is on its way to the customer."""
    sent = Posting(
        kind=EntryKind.REFUND,
        source=reference,
        refund_id=refund.id,
        lines=_transfer(
            _customer(transaction, refund.money), _account(_K.PROCESSOR_BALANCE, refund.money), refund.money
        ),
    )
    if settled is None:
        return [sent]
    conversion = _conversion(_negative(refund.money), _negative(settled), reference)
    return [sent, *(replace(posting, refund_id=refund.id) for posting in conversion)]


def of_refund_settled(transaction: Transaction, refund: Refund, reference: str) -> Posting:
    """The refund is complete: the sale is undone to that amount."""
    return Posting(
        kind=EntryKind.REFUND_SETTLED,
        source=reference,
        refund_id=refund.id,
        lines=_transfer(_account(_K.REFUNDS, refund.money), _customer(transaction, refund.money), refund.money),
    )


def of_refund_failed(refund: Refund, posted: Sequence[JournalEntry], reference: str) -> list[Posting]:
    """The reversal of whatever was posted for a refund; nothing where nothing was."""
    totals: Counter[Account] = Counter()
    for entry in posted:
        for line in entry.lines:
            totals[line.account] -= line.minor_units
    lines = _lines(totals)
    if not lines:
        return []
    return [Posting(kind=EntryKind.REFUND_FAILED, source=reference, refund_id=refund.id, lines=lines)]


def of_dispute_movement(dispute: Dispute, movement: BalanceMovement) -> list[Posting]:
    """Money that left our balance because of a dispute, or came back, and the fee beside it."""
    amount = movement_in_payment_currency(dispute.money, movement)
    postings = []
    if amount:
        money = Money(amount, dispute.money.currency)
        kind = EntryKind.DISPUTE if amount < 0 else EntryKind.DISPUTE_WON
        lines = _transfer(_account(_K.PROCESSOR_BALANCE, money), _account(_K.DISPUTES, money), money)
        postings.append(Posting(kind=kind, source=movement.reference, lines=lines))
        postings += _conversion(money, movement.amount, movement.reference)
    if movement.fee.minor_units:
        postings.append(Posting(kind=EntryKind.DISPUTE_FEE, source=movement.reference, lines=_fee_lines(movement.fee)))
    return [replace(posting, dispute_id=dispute.id) for posting in postings]


def of_dispute_decided(before: Dispute | None, after: Dispute) -> list[Posting]:
    """A lost dispute's money is written off; where the decision is overturned, the write-off is reversed."""
    loss = after.lost - (0 if before is None else before.lost)
    if not loss:
        return []
    amount = Money(loss, after.money.currency)
    lines = _transfer(_account(_K.DISPUTE_LOSSES, amount), _account(_K.DISPUTES, amount), amount)
    kind = EntryKind.DISPUTE_LOST if loss > 0 else EntryKind.DISPUTE_LOSS_REVERSED
    source = f"{after.processor_reference}:{after.movements}"
    return [Posting(kind=kind, source=source, lines=lines, dispute_id=after.id)]


def movement_in_payment_currency(money: Money, movement: BalanceMovement) -> int:
    """What a movement means in the payment's currency, in minor units, negative where money was taken.

    A processor that settles in another currency converts the whole of the disputed amount, both ways.
    """
    if movement.amount.currency is money.currency:
        return movement.amount.minor_units
    taken = movement.amount.minor_units < 0
    return -money.minor_units if taken else money.minor_units if movement.amount.minor_units else 0


def _sale(transaction: Transaction, money: Money) -> tuple[LedgerEntry, ...]:
    """The customer owes for what they bought, and pays it into our balance at the processor."""
    customer = _customer(transaction, money)
    return (
        *_transfer(customer, _account(_K.REVENUE, money), money),
        *_transfer(_account(_K.PROCESSOR_BALANCE, money), customer, money),
    )


def _of_fee(before: Transaction, after: Transaction, reference: str) -> list[Posting]:
    """The fee as it became known, or, where the processor has changed it, the difference."""
    if before.fee is None:
        kind, source = EntryKind.PROCESSOR_FEE, reference
    else:
        # A fee may change more than once, and back; each version of the transaction can change it once.
        kind, source = EntryKind.PROCESSOR_FEE_CORRECTION, f"{reference}:{before.version}"
    totals: Counter[Account] = Counter()
    for fee, sign in ((before.fee, -1), (after.fee, 1)):
        if fee is not None:
            for line in _fee_lines(fee):
                totals[line.account] += sign * line.minor_units
    lines = _lines(totals)
    return [Posting(kind=kind, source=source, lines=lines)] if lines else []


def _conversion(paid: Money, settled: Money, source: str) -> list[Posting]:
    """The processor exchanged what it took, or gave, into the currency in which it settles."""
    if paid.currency is settled.currency or not paid.minor_units or not settled.minor_units:
        return []
    lines = (
        LedgerEntry(_account(_K.CURRENCY_CONVERSION, paid), paid.minor_units),
        LedgerEntry(_account(_K.PROCESSOR_BALANCE, paid), -paid.minor_units),
        LedgerEntry(_account(_K.PROCESSOR_BALANCE, settled), settled.minor_units),
        LedgerEntry(_account(_K.CURRENCY_CONVERSION, settled), -settled.minor_units),
    )
    return [Posting(kind=EntryKind.CONVERSION, source=source, lines=lines)]


def _transfer(debit: Account, credit: Account, money: Money) -> tuple[LedgerEntry, LedgerEntry]:
    return LedgerEntry(debit, money.minor_units), LedgerEntry(credit, -money.minor_units)


def _fee_lines(fee: Money) -> tuple[LedgerEntry, ...]:
    return _transfer(_account(_K.PROCESSOR_FEES, fee), _account(_K.PROCESSOR_BALANCE, fee), fee)


def _account(kind: AccountKind, money: Money) -> Account:
    return Account(kind, money.currency)


def _customer(transaction: Transaction, money: Money) -> Account:
    return Account(_K.CUSTOMER, money.currency, transaction.user_id)


def _lines(totals: Counter[Account]) -> tuple[LedgerEntry, ...]:
    return tuple(LedgerEntry(account, minor_units) for account, minor_units in totals.items() if minor_units)


def _negative(money: Money) -> Money:
    return Money(-money.minor_units, money.currency)
