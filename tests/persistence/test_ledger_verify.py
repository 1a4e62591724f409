"""`florin ledger verify` finds nothing where all is well, and names what somebody has done to the tables past every trigger."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Role
from domain.ids import IdKind, encode
from domain.ledger import verify as module
from domain.ledger.verify import Verdict, verify
from domain.messaging.webhook_events import EventSubject
from domain.payments.gateway import RefundReportStatus
from domain.payments.transaction import Transaction
from persistence.stored_ledger import SqlStoredLedger
from tests.support.acts import Acts
from tests.support.database import past_triggers


async def verified(engine: AsyncEngine) -> Verdict:
    return await verify(SqlStoredLedger(engine), lambda *_: None)


async def tamper(engine: AsyncEngine, statement: str, **values: object) -> None:
    """Change the tables as only somebody can who may switch the triggers off."""
    async with past_triggers(engine) as connection:
        await connection.execute(text(statement), values)


@pytest.fixture
async def payment(acts: Acts) -> Transaction:
    return await acts.paid(await acts.add_actor(), "of the fixture")


async def test_an_empty_ledger_agrees(acts: Acts) -> None:
    assert await verified(acts.engine) == Verdict(0, 0, 0, ())


async def test_whatever_the_acts_did_agrees(acts: Acts) -> None:
    payer, staff = await acts.add_actor(), await acts.add_actor(Role.ADMIN)
    await _do_everything(acts, payer, staff)
    verdict = await verified(acts.engine)
    assert verdict.differences == ()
    assert verdict.transactions == 8
    assert verdict.entries > 20


async def test_progress_is_told_chunk_by_chunk(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    for number in range(3):
        await acts.paid(await acts.add_actor(), f"key-{number}")
    told: list[tuple[str, int, int]] = []
    await verify(SqlStoredLedger(acts.engine), lambda what, done, total: told.append((what, done, total)))
    assert told == [
        ("entries", 2, 6),
        ("entries", 4, 6),
        ("entries", 6, 6),
        ("transactions", 2, 3),
        ("transactions", 3, 3),
    ]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE ledger_entries SET amount = amount + 1 WHERE line = 0", "its lines do not add up to zero"),
        ("DELETE FROM ledger_entries WHERE line = 0", "lines, not"),
        ("DELETE FROM ledger_entries", "it has 0 lines"),
        ("UPDATE ledger_entries SET posted_at = posted_at + interval '1 s'", "of another time"),
        ("UPDATE ledger_entries SET currency = 'EUR'", "of no account in their currency"),
        ("DELETE FROM ledger_accounts WHERE kind = 'REVENUE'", "of no account in their currency"),
        ("UPDATE ledger_accounts SET kind = 'REFUNDS' WHERE kind = 'REVENUE'", "its id is not that of its kind"),
        ("DELETE FROM journal_entries WHERE kind = 'CHARGE'", "4 lines belong to no entry"),
        (
            "UPDATE ledger_entries SET amount = amount * 2",
            "captured is 10.00 USD by the tables, 20.00 USD by the ledger",
        ),
        ("UPDATE ledger_entries SET amount = amount + 1 WHERE line = 0", "all accounts in USD add up to"),
        ("UPDATE transactions SET captured = 900", "captured is 9.00 USD by the tables, 10.00 USD by the ledger"),
        (
            "UPDATE transactions SET refunded = 10, refund_reserved = 10",
            "refunded is 0.10 USD by the tables",
        ),
        ("UPDATE transactions SET disputed = 10", "disputed is 0.10 USD, its disputes hold 0.00 USD"),
        ("UPDATE transactions SET fee = 60", "the fee is 0.60 USD by the tables, 0.59 USD by the ledger"),
        ("UPDATE transactions SET fee_currency = 'EUR'", "0.00 EUR and something in another currency by the ledger"),
        ("UPDATE transactions SET fee = NULL, fee_currency = NULL", "in another currency"),
    ],
)
async def test_what_was_changed_is_named(acts: Acts, payment: Transaction, statement: str, problem: str) -> None:
    assert (await verified(acts.engine)).differences == ()
    await tamper(acts.engine, statement)
    found = (await verified(acts.engine)).differences
    assert any(problem in difference for difference in found), found
    if "transactions" in statement:
        assert found[0].startswith(encode(IdKind.TRANSACTION, payment.id))


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE disputes SET withdrawn = 900", "withdrawn by disputes is 9.00 USD by the tables, 10.00 USD"),
        ("UPDATE disputes SET status = 'WON'", "disputed is 10.00 USD, its disputes hold 0.00 USD"),
        ("DELETE FROM disputes", "withdrawn by disputes is 0.00 USD by the tables"),
    ],
)
async def test_what_was_changed_of_a_lost_dispute_is_named(
    acts: Acts, payment: Transaction, statement: str, problem: str
) -> None:
    assert payment.processor_reference is not None
    opened = acts.gateway.dispute(payment.processor_reference)
    acts.gateway.disputes.close(opened.reference, won=False)
    await acts.tell(EventSubject.DISPUTE, opened.reference)
    assert (await verified(acts.engine)).differences == ()
    await tamper(acts.engine, statement)
    found = (await verified(acts.engine)).differences
    assert any(problem in difference for difference in found), found


async def _do_everything(acts: Acts, payer: Actor, staff: Actor) -> None:
    """One transaction of each kind: plain, captured in part, declined, refunded in every way, disputed in every way."""
    gateway = acts.gateway
    await acts.paid(payer, "plain")
    held = await acts.hold(payer, "held")
    await acts.capture(staff, held.id, 600)
    await acts.pay(payer, "declined", method="pm_card_visa_chargeDeclined")
    for number, won in enumerate([None, True, False]):
        disputed = await acts.paid(payer, f"disputed-{number}")
        assert disputed.processor_reference is not None
        opened = gateway.dispute(disputed.processor_reference, 700)
        if won is not None:
            gateway.disputes.close(opened.reference, won=won)
        await acts.tell(EventSubject.DISPUTE, opened.reference)
    refunded = await acts.paid(payer, "refunded")
    await acts.refund(payer, refunded.id, 300, key="complete")
    gateway.hold_refunds_back()
    await acts.refund(payer, refunded.id, 200, key="fails")
    *_, reference = gateway.refunds
    gateway.settle_refund(reference, RefundReportStatus.FAILED)
    await acts.tell(EventSubject.REFUND, reference)
    await acts.refund(payer, refunded.id, 100, key="on its way")
    await acts.paid(payer, "last")
