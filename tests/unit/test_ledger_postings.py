"""Postings: each balances by itself in every currency, and together they say what the transaction says."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.currencies import Currency
from domain.ids import DisputeId, JournalEntryId, UserId
from domain.ledger import postings
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import EntryKind, JournalEntry, LedgerEntry, Posting, Unbalanced, sums
from domain.money import Money
from domain.payments.dispute import Dispute, DisputeStatus
from domain.payments.gateway import BalanceMovement
from domain.payments.refund import Refund
from domain.payments.transaction import CaptureMethod, Transaction, TransactionStatus
from tests.support.clock import START
from tests.support.records import refund, transaction

K = AccountKind
PAYER = UserId(UUID(int=1))
AMOUNTS = st.integers(1, 99_999_999)
CURRENCIES = st.sampled_from([Currency.USD, Currency.EUR, Currency.JPY, Currency.KWD])


def pending(money: Money, capture_method: CaptureMethod = CaptureMethod.AUTOMATIC) -> Transaction:
    return transaction(UUID(int=2), PAYER, money=money, capture_method=capture_method)


def dispute_over(money: Money, status: DisputeStatus = DisputeStatus.NEEDS_RESPONSE, withdrawn: int = 0) -> Dispute:
    return Dispute(
        id=DisputeId(UUID(int=4)),
        transaction_id=pending(money).id,
        status=status,
        processor_status="needs_response",
        processor_reference="dp_1",
        money=money,
        reason="fraudulent",
        withdrawn=withdrawn,
        movements=1,
        evidence_due_at=START + timedelta(days=9),
        created_at=START,
        updated_at=START,
    )


def balances(made: list[Posting]) -> dict[tuple[AccountKind, Currency], int]:
    totals: Counter[tuple[AccountKind, Currency]] = Counter()
    for posting in made:
        assert not any(sums(posting.lines).values())
        for line in posting.lines:
            totals[line.account.kind, line.account.currency] += line.minor_units
    return {account: total for account, total in totals.items() if total}


def kinds(made: list[Posting]) -> list[EntryKind]:
    return [posting.kind for posting in made]


def charge(money: Money, fee: Money | None, settled: Money | None, *, manual: bool = False) -> list[Posting]:
    before = pending(money, CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC)
    after = replace(before, status=TransactionStatus.COMPLETED, captured=money.minor_units, fee=fee)
    return postings.of_charge(before, after, "pi_1", settled)


def refund_of(money: Money) -> Refund:
    return refund(UUID(int=3), pending(money), minor_units=money.minor_units)


@given(AMOUNTS, CURRENCIES, st.integers(0, 10_000), CURRENCIES, AMOUNTS, st.booleans())
def test_a_charge_balances_in_every_currency(
    amount: int, currency: Currency, fee: int, home: Currency, exchanged: int, manual: bool
) -> None:
    money = Money(amount, currency)
    settled = Money(amount if home is currency else exchanged, home)
    made = charge(money, Money(fee, home), settled, manual=manual)
    assert made[0].kind is (EntryKind.CAPTURE if manual else EntryKind.CHARGE)
    totals = balances(made)
    assert totals[K.REVENUE, currency] == -amount
    assert totals.get((K.PROCESSOR_FEES, home), 0) == fee
    # What the processor says of its own balance: the settled amount less the fee, in its currency alone.
    assert totals.get((K.PROCESSOR_BALANCE, home), 0) == settled.minor_units - fee
    if home is not currency:
        assert (K.PROCESSOR_BALANCE, currency) not in totals
        assert totals[K.CURRENCY_CONVERSION, currency] == amount
    # The customer owed, and has paid.
    assert (K.CUSTOMER, currency) not in totals


def test_the_customers_account_shows_what_was_owed_and_what_was_paid() -> None:
    [sale] = charge(Money(1000, Currency.USD), None, None)
    customer = Account(K.CUSTOMER, Currency.USD, PAYER)
    assert [line.minor_units for line in sale.lines if line.account == customer] == [1000, -1000]


@given(AMOUNTS, st.lists(st.integers(0, 5_000), max_size=5))
def test_a_fee_is_corrected_by_its_difference(amount: int, fees: list[int]) -> None:
    known = replace(pending(Money(amount, Currency.USD)), captured=amount, status=TransactionStatus.COMPLETED)
    made: list[Posting] = []
    for version, fee in enumerate(fees, start=1):
        after = replace(known, fee=Money(fee, Currency.USD), version=version + 1)
        made += postings.of_charge(known, after, "pi_1", None)
        known = after
    assert balances(made).get((K.PROCESSOR_FEES, Currency.USD), 0) == (fees[-1] if fees else 0)
    assert len({(posting.kind, posting.source) for posting in made}) == len(made)


def test_a_fee_that_changes_its_currency_leaves_nothing_in_the_old_one() -> None:
    first = replace(pending(Money(1000, Currency.EUR)), captured=1000, fee=Money(59, Currency.EUR))
    made = postings.of_charge(first, replace(first, fee=Money(61, Currency.USD)), "pi_1", None)
    assert kinds(made) == [EntryKind.PROCESSOR_FEE_CORRECTION]
    assert balances(made) == {
        (K.PROCESSOR_FEES, Currency.EUR): -59,
        (K.PROCESSOR_BALANCE, Currency.EUR): 59,
        (K.PROCESSOR_FEES, Currency.USD): 61,
        (K.PROCESSOR_BALANCE, Currency.USD): -61,
    }


def test_what_has_not_changed_is_not_posted() -> None:
    known = replace(pending(Money(1000, Currency.USD)), captured=1000, fee=Money(59, Currency.USD))
    assert postings.of_charge(known, known, "pi_1", Money(1000, Currency.USD)) == []
    assert charge(Money(1000, Currency.USD), Money(0, Currency.USD), None)[1:] == []


@given(AMOUNTS, CURRENCIES, AMOUNTS, CURRENCIES, st.booleans())
def test_a_refund_balances_and_its_reversal_undoes_it(
    amount: int, currency: Currency, exchanged: int, home: Currency, complete: bool
) -> None:
    money = Money(amount, currency)
    given_back, payment = refund_of(money), pending(money)
    settled = Money(amount if home is currency else exchanged, home)
    made = postings.of_refund_sent(payment, given_back, "re_1", settled)
    sent = balances(made)
    # On its way: gone from the processor's balance, and not yet a refund.
    assert sent[K.PROCESSOR_BALANCE, home] == -settled.minor_units
    assert sent[K.CUSTOMER, currency] == amount
    if complete:
        made.append(postings.of_refund_settled(payment, given_back, "re_1"))
        assert balances(made)[K.REFUNDS, currency] == amount
        assert (K.CUSTOMER, currency) not in balances(made)
    reversal = postings.of_refund_failed(given_back, [stored(each) for each in made], "re_1")
    assert balances([*made, *reversal]) == {}
    assert kinds(reversal) == [EntryKind.REFUND_FAILED]
    assert {posting.refund_id for posting in [*made, *reversal]} == {given_back.id}


def test_a_refund_that_was_never_posted_needs_no_reversal() -> None:
    assert postings.of_refund_failed(refund_of(Money(100, Currency.USD)), [], "re_1") == []


@given(AMOUNTS, CURRENCIES, st.integers(0, 5_000), CURRENCIES, AMOUNTS, st.booleans())
def test_a_dispute_balances_and_ends_in_nothing_or_in_losses(
    amount: int, currency: Currency, fee: int, home: Currency, exchanged: int, won: bool
) -> None:
    money = Money(amount, currency)
    settled = amount if home is currency else exchanged
    opened = dispute_over(money, withdrawn=amount)
    taken = BalanceMovement(reference="txn_1", amount=Money(-settled, home), fee=Money(fee, home))
    made = postings.of_dispute_movement(opened, taken)
    assert balances(made)[K.PROCESSOR_BALANCE, home] == -settled - fee
    assert balances(made)[K.DISPUTES, currency] == amount
    if won:
        returned = BalanceMovement(reference="txn_2", amount=Money(settled, home), fee=Money(0, home))
        made += postings.of_dispute_movement(opened, returned)
        made += postings.of_dispute_decided(opened, dispute_over(money, DisputeStatus.WON, withdrawn=0))
    else:
        made += postings.of_dispute_decided(opened, dispute_over(money, DisputeStatus.LOST, withdrawn=amount))
    end = balances(made)
    assert (K.DISPUTES, currency) not in end
    assert end.get((K.DISPUTE_LOSSES, currency), 0) == (0 if won else amount)
    assert end.get((K.PROCESSOR_FEES, home), 0) == fee
    assert {posting.dispute_id for posting in made} == {opened.id}


def test_a_loss_that_is_overturned_is_reversed() -> None:
    money = Money(1000, Currency.USD)
    lost = dispute_over(money, DisputeStatus.LOST, withdrawn=1000)
    won = replace(lost, status=DisputeStatus.WON, withdrawn=0, movements=2)
    made = [*postings.of_dispute_decided(None, lost), *postings.of_dispute_decided(lost, won)]
    assert kinds(made) == [EntryKind.DISPUTE_LOST, EntryKind.DISPUTE_LOSS_REVERSED]
    assert balances(made) == {}


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (LedgerEntry(Account(K.REVENUE, Currency.USD), 1),),
        (LedgerEntry(Account(K.REVENUE, Currency.USD), 1), LedgerEntry(Account(K.REFUNDS, Currency.EUR), -1)),
        (LedgerEntry(Account(K.REVENUE, Currency.USD), 0), LedgerEntry(Account(K.REFUNDS, Currency.USD), 0)),
    ],
)
def test_what_does_not_balance_is_no_posting(lines: tuple[LedgerEntry, ...]) -> None:
    with pytest.raises(Unbalanced):
        Posting(kind=EntryKind.CHARGE, source="pi_1", lines=lines)


def test_accounts_have_ids_of_what_they_are_for() -> None:
    accounts = [
        Account(kind, currency, PAYER if kind is K.CUSTOMER else None)
        for kind in AccountKind
        for currency in (Currency.USD, Currency.EUR)
    ]
    accounts.append(Account(K.CUSTOMER, Currency.USD, UserId(UUID(int=9))))
    assert len({account.id for account in accounts}) == len(accounts)
    assert Account(K.REVENUE, Currency.USD).id == Account(K.REVENUE, Currency.USD).id
    # RFC 9562, section 5.8: version 8, variant 10.
    assert all(account.id.version == 8 and account.id.variant == "specified in RFC 4122" for account in accounts)


@pytest.mark.parametrize(("kind", "user_id"), [(K.CUSTOMER, None), (K.REVENUE, PAYER)])
def test_only_customers_have_accounts_of_their_own(kind: AccountKind, user_id: UserId | None) -> None:
    with pytest.raises(ValueError, match="user"):
        Account(kind, Currency.USD, user_id)


def stored(posting: Posting) -> JournalEntry:
    return JournalEntry(
        id=JournalEntryId(UUID(int=5)),
        transaction_id=pending(Money(1, Currency.USD)).id,
        kind=posting.kind,
        source=posting.source,
        lines=posting.lines,
        posted_at=START,
        refund_id=posting.refund_id,
        dispute_id=posting.dispute_id,
    )
