"""Tables that are large enough for PostgreSQL to plan as it would for those of years."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import TransactionId, UserId
from persistence.engine import open_engine
from persistence.schema import migrate
from tests.support.database import past_triggers, patient_config
from tests.support.postgres import another_database


def user_number(n: int) -> UserId:
    return UserId(UUID(bytes=_digest(f"u{n}")))


def transaction_number(n: int) -> TransactionId:
    return TransactionId(UUID(bytes=_digest(f"t{n}")))


def _digest(name: str) -> bytes:
    return md5(name.encode(), usedforsecurity=False).digest()


FREQUENT = user_number(1)
"""Who makes a fifth of all payments."""
MANIFOLD = transaction_number(100000)
"""What has 10,000 refunds, disputes and entries in its audit log."""


def _one_of(seed: int, *weighed: tuple[str, int]) -> str:
    """A value of each row's own that has nothing to do with those of its other columns, in SQL; weights are in thousandths."""
    draw, cases, total = f"abs(hashint8(n * 1009 + {seed}) % 1000)", "", 0
    for value, weight in weighed:
        total += weight
        cases += f" WHEN {draw} < {total} THEN '{value}'"
    return f"CASE{cases} END"


# What stands for these names in the statements below.
_MEANING = {
    "{status}": _one_of(1, ("COMPLETED", 850), ("FAILED", 90), ("REFUNDED", 40), ("PENDING", 18), ("CANCELED", 2)),
    "{currency}": _one_of(2, ("USD", 700), ("EUR", 200), ("JPY", 95), ("KWD", 5)),
    "{user}": "CASE WHEN abs(hashint8(n * 7 + 3)) % 5 = 0 THEN 1 ELSE 2 + abs(hashint8(n * 11 + 4)) % 400 END",
    # A few children of each of many, and of the last one very many.
    "{parent}": "CASE WHEN n <= 10000 THEN 100000 ELSE 1 + n % 100000 END",
}

_FILL = (
    # Every third minute a user, a few of whom are staff, or disabled.
    """INSERT INTO users (id, email, name, role, created_at, disabled_at)
    SELECT md5('u' || n)::uuid, 'u' || n || '@example.test', 'U' || n, CASE WHEN n % 2000 = 0 THEN 'ADMIN' ELSE 'CUSTOMER' END,
        timestamptz '2025-01-01Z' + n * interval '3 minutes', CASE WHEN n % 1000 = 1 THEN now() END
    FROM generate_series(1, 20000) AS n""",
    """INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed,
        capture_method, payment_method_id, description, metadata, processor, processor_reference, version,
        created_at, updated_at)
    SELECT md5('t' || n)::uuid, md5('u' || {user})::uuid, {status}, 50 + abs(hashint8(n * 13 + 5)) % 100000, {currency},
        0, 0, 0, 0, 'AUTOMATIC', 'pm', 'Order ' || n || CASE WHEN n % 5000 = 0 THEN ' rare' ELSE '' END, '{}', 'stripe',
        'pi_' || n, 1, timestamptz '2025-01-01Z' + n * interval '5 minutes', now()
    FROM generate_series(1, 100000) AS n""",
    """INSERT INTO attempts (id, kind, transaction_id, step, state, tries, unreported_claims, first_sent_at, next_check_at,
        last_checked_at)
    SELECT md5('a' || n)::uuid, 'CHARGE', md5('t' || n)::uuid, 'CREATE',
        CASE WHEN n % 2500 = 0 THEN 'MANUAL' WHEN n % 50 = 0 THEN 'OPEN' ELSE 'DONE' END, 1, 0,
        timestamptz '2025-01-01Z' + n * interval '5 minutes', now() + interval '1 day', now()
    FROM generate_series(1, 100000) AS n""",
    """INSERT INTO audit_entries (id, transaction_id, action, actor_kind, details, at)
    SELECT md5('e' || n)::uuid, md5('t' || {parent})::uuid, 'refund.requested', 'SYSTEM', '{}', now()
    FROM generate_series(1, 60000) AS n""",
    """INSERT INTO refunds (id, transaction_id, status, amount, currency, created_at, updated_at)
    SELECT md5('r' || n)::uuid, md5('t' || {parent})::uuid,
        CASE WHEN n % 1000 = 0 THEN 'FAILED' ELSE 'COMPLETED' END, 1, 'USD', timestamptz '2025-01-01Z' + n * interval '5 minutes',
        now()
    FROM generate_series(1, 60000) AS n""",
    """INSERT INTO disputes (id, transaction_id, status, processor_status, processor_reference, amount, currency, reason,
        withdrawn, movements, created_at, updated_at)
    SELECT md5('d' || n)::uuid, md5('t' || {parent})::uuid, 'WON', 'won', 'dp_' || n,
        1, 'USD', 'x', 0, 0, timestamptz '2025-01-01Z' + n * interval '5 minutes', now()
    FROM generate_series(1, 30000) AS n""",
    """INSERT INTO journal_entries (id, transaction_id, kind, source, lines, posted_at)
    SELECT md5('j' || n)::uuid, md5('t' || n)::uuid, 'CHARGE', 's' || n, 2,
        timestamptz '2025-01-01Z' + n * interval '5 minutes'
    FROM generate_series(1, 20000) AS n""",
    """INSERT INTO ledger_accounts (id, kind, currency, created_at)
    VALUES (md5('l1')::uuid, 'PROCESSOR_BALANCE', 'USD', now()), (md5('l2')::uuid, 'REVENUE', 'USD', now())""",
    """INSERT INTO ledger_entries (entry_id, line, account_id, currency, amount, posted_at)
    SELECT md5('j' || n)::uuid, line, md5('l' || line)::uuid, 'USD', 3 - 2 * line, now()
    FROM generate_series(1, 20000) AS n, generate_series(1, 2) AS line""",
    """INSERT INTO webhook_events (id, type, subject, reference, live, body, state, tries, failures, created_at,
        received_at, next_try_at)
    SELECT 'evt_' || n, CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'common' END, 'CHARGE', 'pi_' || n % 10000, false, '{}',
        CASE WHEN n % 1000 = 1 THEN 'PARKED' ELSE 'APPLIED' END, 1, 0, now(),
        timestamptz '2025-01-01Z' + n * interval '1 minute', now()
    FROM generate_series(1, 30000) AS n""",
    """INSERT INTO discrepancies (id, kind, subject_kind, reference, transaction_id, summary, first_seen_at, last_seen_at,
        resolved_at, resolution)
    SELECT md5('x' || n)::uuid, CASE WHEN n % 1000 = 0 THEN 'FEE_DIFFERS' ELSE 'AMOUNT_DIFFERS' END, 'CHARGE', 'pi_' || n,
        md5('t' || n)::uuid, 'x', timestamptz '2025-01-01Z' + n * interval '5 minutes', now(),
        CASE WHEN n % 500 = 1 THEN NULL ELSE now() END, CASE WHEN n % 500 = 1 THEN NULL ELSE 'CURED' END
    FROM generate_series(1, 20000) AS n""",
)


def _meant(statement: str) -> str:
    for name, meaning in _MEANING.items():
        statement = statement.replace(name, meaning)
    return statement


@asynccontextmanager
async def large_tables(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database beside the given one with 100,000 transactions and what belongs to them."""
    async with another_database(database_url) as url:
        engine = open_engine(patient_config(url))
        await migrate(engine)
        async with past_triggers(engine) as connection:
            for statement in _FILL:
                await connection.execute(text(_meant(statement)))
        raw = await asyncpg.connect(url)
        await raw.execute("VACUUM ANALYZE")
        await raw.close()
        yield engine
        await engine.dispose()
