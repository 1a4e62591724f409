"""The ledger in PostgreSQL: balanced by the database, posted once, never changed, and with no queue for shared accounts."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.access import Role
from domain.currencies import Currency
from domain.ids import JournalEntryId
from domain.ledger.accounts import Account, AccountKind
from domain.ledger.entries import EntryKind, JournalEntry, LedgerEntry
from domain.messaging.webhook_events import EventSubject
from domain.money import Money
from domain.payments.gateway import RefundReportStatus
from domain.payments.transaction import Transaction, TransactionStatus
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.acts import Acts
from tests.support.clock import START, SequentialIds
from tests.support.database import as_owner, rows
from tests.support.ledger import balances, journal
from tests.support.records import add_transaction, transaction, user

BALANCE, REVENUE = Account(AccountKind.PROCESSOR_BALANCE, Currency.USD), Account(AccountKind.REVENUE, Currency.USD)


@pytest.fixture
async def paid(units: SqlUnitsOfWork) -> Transaction:
    ids = SequentialIds()
    payer = user(ids.new())
    async with units.begin() as uow:
        await uow.users.add(payer)
    return await add_transaction(units, transaction(ids.new(), payer.id, status=TransactionStatus.COMPLETED))


def entry(of: Transaction, *, number: int = 1, source: str = "pi_1", minor_units: int = 1000) -> JournalEntry:
    return JournalEntry(
        id=JournalEntryId(UUID(int=1000 + number)),
        transaction_id=of.id,
        kind=EntryKind.CHARGE,
        source=source,
        lines=(LedgerEntry(BALANCE, minor_units), LedgerEntry(REVENUE, -minor_units)),
        posted_at=START,
    )


async def test_the_same_is_posted_once_whatever_comes_with_it(
    engine: AsyncEngine, units: SqlUnitsOfWork, paid: Transaction
) -> None:
    async with units.begin() as uow:
        await uow.ledger.post([entry(paid)])
    async with units.begin() as uow:
        await uow.ledger.post([entry(paid, number=2, minor_units=7), entry(paid, number=3, source="pi_1:2000")])
    assert await journal(engine, paid.id) == [("CHARGE", "pi_1"), ("CHARGE", "pi_1:2000")]
    assert await balances(engine) == {"PROCESSOR_BALANCE USD": 2000, "REVENUE USD": -2000}


async def test_of_many_that_post_the_same_at_once_one_does(
    engine: AsyncEngine, units: SqlUnitsOfWork, paid: Transaction
) -> None:
    async def post(number: int) -> None:
        async with units.begin() as uow:
            await uow.ledger.post([entry(paid, number=number)])

    await asyncio.gather(*(post(number) for number in range(8)))
    assert await balances(engine) == {"PROCESSOR_BALANCE USD": 1000, "REVENUE USD": -1000}


async def test_a_payment_does_not_wait_for_another_that_posts_to_the_same_accounts(
    engine: AsyncEngine, units: SqlUnitsOfWork, paid: Transaction
) -> None:
    async with units.begin() as uow:
        await uow.ledger.post([entry(paid)])
    async with units.begin() as slow:
        await slow.ledger.post([entry(paid, number=2, source="slow")])
        async with units.begin() as quick:
            await quick.ledger.post([entry(paid, number=3, source="quick")])
        # The quick one has committed while the slow one is still open.
        assert ("CHARGE", "quick") in await journal(engine, paid.id)
        assert ("CHARGE", "slow") not in await journal(engine, paid.id)
    assert (await balances(engine))["REVENUE USD"] == -3000


_ENTRY = (
    "INSERT INTO journal_entries (id, transaction_id, kind, source, lines, posted_at)"
    " SELECT '00000000-0000-0000-0000-0000000000e1', id, 'CHARGE', 'by hand', :lines, now() FROM transactions"
)
_LINE = (
    "INSERT INTO ledger_entries (entry_id, line, account_id, currency, amount, posted_at)"
    " SELECT e.id, :line, coalesce(CAST(:account AS uuid), a.id), :currency, :amount, e.posted_at + CAST(:later AS interval)"
    " FROM journal_entries e, ledger_accounts a"
    " WHERE e.source = 'by hand' AND a.kind = :kind AND a.currency = 'USD'"
)


async def add_entry(connection: AsyncConnection, *, lines: int = 2) -> None:
    await connection.execute(text(_ENTRY), {"lines": lines})


async def add_line(
    connection: AsyncConnection,
    line: int,
    kind: AccountKind,
    amount: int,
    *,
    currency: str = "USD",
    account: UUID | None = None,
    later: timedelta = timedelta(0),
) -> None:
    values = {"line": line, "kind": kind.value, "amount": amount, "currency": currency, "account": account}
    await connection.execute(text(_LINE), values | {"later": later})


@pytest.fixture
async def accounts(units: SqlUnitsOfWork, paid: Transaction) -> None:
    """The accounts exist, because something was posted to them."""
    async with units.begin() as uow:
        await uow.ledger.post([entry(paid)])


@pytest.mark.usefixtures("accounts")
async def test_an_entry_and_its_lines_may_come_one_by_one(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await add_entry(connection)
        await add_line(connection, 0, AccountKind.PROCESSOR_BALANCE, 5)
        await add_line(connection, 1, AccountKind.REVENUE, -5)
    assert await balances(engine) == {"PROCESSOR_BALANCE USD": 1005, "REVENUE USD": -1005}


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        ([], "has 0 lines, not 2"),
        ([{"amount": 5}], "has 1 lines, not 2"),
        ([{"amount": 5}, {"amount": -4}], "does not balance"),
        ([{"amount": 5}, {"amount": 5}], "does not balance"),
        ([{"amount": 5}, {"amount": -5, "currency": "EUR"}], "no account in their currency"),
        ([{"amount": 5}, {"amount": -5, "account": UUID(int=7)}], "no account in their currency"),
        ([{"amount": 5}, {"amount": -5, "later": timedelta(seconds=1)}], "of another time"),
        ([{"amount": 5}, {"amount": 0}], "ck_ledger_entries_amount"),
    ],
)
async def test_the_database_refuses_what_does_not_balance(
    engine: AsyncEngine, lines: list[dict[str, object]], refusal: str
) -> None:
    async def write() -> None:
        async with engine.begin() as connection:
            await add_entry(connection)
            for number, line in enumerate(lines):
                await add_line(connection, number, AccountKind.REVENUE, **line)  # type: ignore[arg-type]  # several types

    with pytest.raises(exc.IntegrityError, match=refusal):
        await write()
    assert await rows(engine, "SELECT 1 FROM journal_entries WHERE source = 'by hand'") == []
    assert await balances(engine) == {"PROCESSOR_BALANCE USD": 1000, "REVENUE USD": -1000}


@pytest.mark.usefixtures("accounts")
async def test_not_even_a_line_that_balances_is_added_to_an_entry_later(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await add_entry(connection)
        await add_line(connection, 0, AccountKind.PROCESSOR_BALANCE, 5)
        await add_line(connection, 1, AccountKind.REVENUE, -5)
    with pytest.raises(exc.IntegrityError, match="takes no more lines"):
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO ledger_entries SELECT entry_id, line + 2, account_id, currency, amount, posted_at"
                    " FROM ledger_entries"
                )
            )
    assert await balances(engine) == {"PROCESSOR_BALANCE USD": 1005, "REVENUE USD": -1005}


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("table", ["ledger_accounts", "journal_entries", "ledger_entries"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {} SET posted_at = now()",
        "UPDATE {} SET id = id WHERE false",
        "DELETE FROM {}",
        "DELETE FROM {} WHERE false",
        "TRUNCATE {} CASCADE",
    ],
)
async def test_nothing_in_the_ledger_is_changed_or_deleted(engine: AsyncEngine, table: str, change: str) -> None:
    columns = {"ledger_accounts": ("created_at", "id"), "ledger_entries": ("posted_at", "line")}
    time, number = columns.get(table, ("posted_at", "id"))
    statement = change.format(table).replace("posted_at", time).replace("id = id", f"{number} = {number}")
    before = await rows(engine, f"SELECT * FROM {table}")  # noqa: S608  the names of three tables
    # Not even by the tables' owner; the application's role has no right to it besides.
    with pytest.raises(exc.IntegrityError, match="rows are only ever added"):
        async with as_owner(engine) as connection:
            await connection.execute(text(statement))
    assert await rows(engine, f"SELECT * FROM {table}") == before  # noqa: S608  as above


# The acts, and what they post.


async def test_a_payment_is_posted_with_its_fee_in_the_same_unit_of_work(acts: Acts) -> None:
    payment = await acts.paid(await acts.add_actor())
    assert [kind for kind, _ in await journal(acts.engine, payment.id)] == ["CHARGE", "PROCESSOR_FEE"]
    assert await balances(acts.engine) == {
        "PROCESSOR_BALANCE USD": 1000 - 59,
        "REVENUE USD": -1000,
        "PROCESSOR_FEES USD": 59,
    }


async def test_whoever_tells_it_again_posts_nothing_more(acts: Acts) -> None:
    payment = await acts.paid(await acts.add_actor())
    assert payment.processor_reference is not None
    before = await journal(acts.engine, payment.id)
    await acts.tell_all(EventSubject.CHARGE, [payment.processor_reference] * 3, times=2)
    assert await journal(acts.engine, payment.id) == before


@pytest.mark.parametrize("captured", [1000, 400])
async def test_a_capture_posts_what_was_taken_and_an_authorization_nothing(acts: Acts, captured: int) -> None:
    held = await acts.hold(await acts.add_actor())
    assert await balances(acts.engine) == {}
    await acts.capture(await acts.add_actor(Role.ADMIN), held.id, captured)
    assert [kind for kind, _ in await journal(acts.engine, held.id)] == ["CAPTURE", "PROCESSOR_FEE"]
    assert (await balances(acts.engine))["REVENUE USD"] == -captured


async def test_a_decline_posts_nothing(acts: Acts) -> None:
    await acts.pay(await acts.add_actor(), method="pm_card_visa_chargeDeclined")
    assert await balances(acts.engine) == {}


async def test_a_fee_that_comes_later_is_posted_then_and_one_that_changes_is_corrected(acts: Acts) -> None:
    gateway = acts.gateway
    answer = await acts.pay(await acts.add_actor(), method="pm_fake_processing")
    assert answer.transaction is not None
    payment = answer.transaction
    assert payment.processor_reference is not None
    gateway.settle(payment.processor_reference)
    for fee in (None, 59, 62, 59):
        money = None if fee is None else Money(fee, Currency.USD)
        gateway.falsify(payment.processor_reference, fee=money)
        await acts.tell(EventSubject.CHARGE, payment.processor_reference)
        assert (await balances(acts.engine)).get("PROCESSOR_FEES USD", 0) == (fee or 0)
    assert [kind for kind, _ in await journal(acts.engine, payment.id)] == [
        "CHARGE",
        "PROCESSOR_FEE",
        "PROCESSOR_FEE_CORRECTION",
        "PROCESSOR_FEE_CORRECTION",
    ]


async def test_what_is_settled_in_another_currency_lies_in_that_currencys_balance(acts: Acts) -> None:
    gateway = acts.gateway
    answer = await acts.pay(await acts.add_actor(), money=Money(1000, Currency.EUR), method="pm_fake_processing")
    assert answer.transaction is not None
    reference = answer.transaction.processor_reference
    assert reference is not None
    gateway.settle(reference)
    gateway.falsify(reference, settled=Money(1080, Currency.USD), fee=Money(61, Currency.USD))
    await acts.tell(EventSubject.CHARGE, reference)
    await acts.tell(EventSubject.CHARGE, reference)
    assert await balances(acts.engine) == {
        "PROCESSOR_BALANCE USD": 1019,
        "PROCESSOR_FEES USD": 61,
        "REVENUE EUR": -1000,
        "CURRENCY_CONVERSION EUR": 1000,
        "CURRENCY_CONVERSION USD": -1080,
    }


async def test_a_refund_on_its_way_has_left_the_balance_and_one_that_fails_is_reversed(acts: Acts) -> None:
    payer = await acts.add_actor()
    payment = await acts.paid(payer)
    after_payment = await balances(acts.engine)
    acts.gateway.hold_refunds_back()
    await acts.refund(payer, payment.id, 400)
    on_its_way = after_payment | {"PROCESSOR_BALANCE USD": 541, "CUSTOMER USD": 400}
    assert await balances(acts.engine) == on_its_way
    [reference] = acts.gateway.refunds
    acts.gateway.settle_refund(reference, RefundReportStatus.SUCCEEDED)
    await acts.tell(EventSubject.REFUND, reference, times=2)
    assert await balances(acts.engine) == after_payment | {"PROCESSOR_BALANCE USD": 541, "REFUNDS USD": 400}
    acts.gateway.settle_refund(reference, RefundReportStatus.FAILED)
    await acts.tell(EventSubject.REFUND, reference)
    await acts.tell(EventSubject.REFUND, reference)
    assert await balances(acts.engine) == after_payment
    assert [kind for kind, _ in await journal(acts.engine, payment.id)][2:] == [
        "REFUND",
        "REFUND_SETTLED",
        "REFUND_FAILED",
    ]


async def test_a_pending_refund_that_fails_is_reversed_too(acts: Acts) -> None:
    payer = await acts.add_actor()
    payment = await acts.paid(payer)
    before = await balances(acts.engine)
    acts.gateway.hold_refunds_back()
    await acts.refund(payer, payment.id, 400)
    [reference] = acts.gateway.refunds
    acts.gateway.settle_refund(reference, RefundReportStatus.FAILED)
    await acts.tell(EventSubject.REFUND, reference)
    assert await balances(acts.engine) == before


async def test_payments_of_many_customers_at_once_post_all_of_it(acts: Acts) -> None:
    payers = [await acts.add_actor() for _ in range(12)]
    await asyncio.gather(*(acts.pay(payer, f"key-{number}") for number, payer in enumerate(payers)))
    assert await balances(acts.engine) == {
        "PROCESSOR_BALANCE USD": 12 * 941,
        "REVENUE USD": -12_000,
        "PROCESSOR_FEES USD": 12 * 59,
    }
    customers = await rows(acts.engine, "SELECT count(*) FROM ledger_accounts WHERE kind = 'CUSTOMER'")
    assert customers == [(12,)]


async def test_an_account_that_a_payment_needs_is_made_with_its_first_entry(
    engine: AsyncEngine, units: SqlUnitsOfWork, paid: Transaction
) -> None:
    customer = Account(AccountKind.CUSTOMER, Currency.JPY, paid.user_id)
    revenue = Account(AccountKind.REVENUE, Currency.JPY)
    lines = (LedgerEntry(customer, 5), LedgerEntry(revenue, -5))
    async with units.begin() as uow:
        await uow.ledger.post([replace(entry(paid), lines=lines)])
    found = await rows(engine, "SELECT id, kind, currency, user_id FROM ledger_accounts ORDER BY kind")
    assert found == [(customer.id, "CUSTOMER", "JPY", paid.user_id), (revenue.id, "REVENUE", "JPY", None)]
