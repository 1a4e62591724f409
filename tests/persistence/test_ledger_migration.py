"""Money that moved before there was a ledger gets the entries that the code would have posted."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.currencies import Currency
from domain.ids import JournalEntryId, UserId
from domain.ledger import postings
from domain.ledger.entries import JournalEntry, Posting
from domain.money import Money
from domain.payments.refund import RefundStatus
from domain.payments.transaction import CaptureMethod, Transaction, TransactionStatus
from persistence.engine import open_engine
from persistence.schema import _config, migrate
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import START
from tests.support.database import patient_config, rows
from tests.support.ledger import balances
from tests.support.postgres import another_database
from tests.support.records import refund, transaction

PAYER = UserId(UUID(int=1))
CHARGED, CAPTURED = UUID(int=11), UUID(int=12)
_FILL = """
INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000001', 'a@example.test', 'Ada', 'CUSTOMER', now());
INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed, fee,
    fee_currency, capture_method, payment_method_id, metadata, processor, processor_reference, version, created_at, updated_at)
SELECT v.id::uuid, '00000000-0000-0000-0000-000000000001', 'PENDING', 1000, v.currency, v.captured, v.refunded, v.refunded, 0,
    v.fee, v.fee_currency, v.method, 'pm_card_visa', '{}', 'stripe', v.reference, 1, now(), now()
FROM (VALUES
    ('00000000-0000-0000-0000-00000000000b', 'EUR', 1000, 300, 61, 'USD', 'AUTOMATIC', 'pi_1'),
    ('00000000-0000-0000-0000-00000000000c', 'USD', 700, 0, 0, 'USD', 'MANUAL', 'pi_2'),
    ('00000000-0000-0000-0000-00000000000d', 'USD', 0, 0, NULL, NULL, 'AUTOMATIC', 'pi_3')
) AS v (id, currency, captured, refunded, fee, fee_currency, method, reference);
UPDATE transactions SET status = 'COMPLETED' WHERE captured > 0;
UPDATE transactions SET status = 'PARTIALLY_REFUNDED' WHERE refunded > 0;
INSERT INTO refunds (id, transaction_id, status, amount, currency, processor_reference, created_at, updated_at)
SELECT v.id::uuid, '00000000-0000-0000-0000-00000000000b', v.status, v.amount, 'EUR', v.reference, now(), now()
FROM (VALUES
    ('00000000-0000-0000-0000-000000000015', 'COMPLETED', 300, 're_1'),
    ('00000000-0000-0000-0000-000000000016', 'FAILED', 200, 're_2'),
    ('00000000-0000-0000-0000-000000000017', 'PENDING', 100, NULL)
) AS v (id, status, amount, reference)
"""


@pytest.fixture
async def before_the_ledger(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database of the first schema, with payments in it."""

    def fill(connection: Connection) -> None:
        command.upgrade(_config(connection), "0001")
        for statement in _FILL.split(";\n"):
            connection.execute(text(statement))
        connection.commit()

    async with another_database(database_url) as url:
        engine = open_engine(patient_config(url))
        async with engine.connect() as connection:
            await connection.run_sync(fill)
        yield engine
        await engine.dispose()


async def test_what_had_moved_is_in_the_ledger_afterwards(before_the_ledger: AsyncEngine) -> None:
    await migrate(before_the_ledger)
    assert await balances(before_the_ledger) == {
        "PROCESSOR_BALANCE EUR": 700,
        "REVENUE EUR": -1000,
        "REFUNDS EUR": 300,
        "PROCESSOR_FEES USD": 61,
        "PROCESSOR_BALANCE USD": 700 - 61,
        "REVENUE USD": -700,
    }


async def test_no_later_report_posts_it_again(before_the_ledger: AsyncEngine) -> None:
    await migrate(before_the_ledger)
    before = await balances(before_the_ledger)
    charged = _payment(CHARGED, Currency.EUR, 1000, Money(61, Currency.USD), CaptureMethod.AUTOMATIC)
    captured = _payment(CAPTURED, Currency.USD, 700, Money(0, Currency.USD), CaptureMethod.MANUAL)
    given_back = refund(UUID(int=21), charged, minor_units=300, status=RefundStatus.COMPLETED)
    wanted = [
        *_entries(charged, postings.of_charge(_nothing_moved(charged), charged, "pi_1", None), 100),
        *_entries(captured, postings.of_charge(_nothing_moved(captured), captured, "pi_2", None), 200),
        *_entries(charged, postings.of_refund_sent(charged, given_back, "re_1", None), 300),
        *_entries(charged, [postings.of_refund_settled(charged, given_back, "re_1")], 400),
    ]
    assert len(wanted) == 5
    async with SqlUnitsOfWork(before_the_ledger).begin() as uow:
        await uow.ledger.post(wanted)
    assert await balances(before_the_ledger) == before
    accounts = {line.account.id for entry in wanted for line in entry.lines}
    # The migration gave the accounts the ids by which the code knows them.
    assert {row[0] for row in await rows(before_the_ledger, "SELECT id FROM ledger_accounts")} == accounts


def _payment(new_id: UUID, currency: Currency, captured: int, fee: Money, capture_method: CaptureMethod) -> Transaction:
    made = transaction(
        new_id,
        PAYER,
        money=Money(1000, currency),
        status=TransactionStatus.COMPLETED,
        captured=captured,
        capture_method=capture_method,
    )
    return replace(made, fee=fee)


def _nothing_moved(payment: Transaction) -> Transaction:
    return replace(payment, captured=0, fee=None)


def _entries(of: Transaction, made: list[Posting], first: int) -> list[JournalEntry]:
    return [
        JournalEntry(
            id=JournalEntryId(UUID(int=first + number)),
            transaction_id=of.id,
            kind=posting.kind,
            source=posting.source,
            lines=posting.lines,
            posted_at=START,
            refund_id=posting.refund_id,
            dispute_id=posting.dispute_id,
        )
        for number, posting in enumerate(made)
    ]
