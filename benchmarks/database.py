"""The database that is measured on: a PostgreSQL of our own, kept between runs, with demo data made in bulk.

Ids follow from numbers, so that requests can be made without asking. What the data lacks is what would take longest to make and
what no measured operation reads: links of the audit chain and ledger entries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg

from app.embedded_postgres import EmbeddedPostgres
from app.embedded_postgres.server import APP_ROLE
from benchmarks.programs import RESULTS, cpu_of
from domain.ids import SessionId, TransactionId, UserId
from persistence.engine import DatabaseConfig, open_engine
from persistence.roles import ApplicationRole
from persistence.schema import migrate

# Raise it when the data is made differently: what an earlier version made is thrown away.
_SEED = "benchmark data, version 2"
_USER, _SESSION, _TRANSACTION = (UUID(f"018{kind}0000-0000-7000-8000-000000000000").int for kind in "def")
PAYER_TRANSACTIONS = 200
AUDIT_ENTRIES = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is. `payers` are the customers that the requests are about; each has PAYER_TRANSACTIONS."""

    transactions: int = 200_000
    users: int = 10_000

    @property
    def payers(self) -> int:
        return min(100, self.transactions // 250, self.users - 1)

    @property
    def rows(self) -> int:
        return self.transactions * (1 + AUDIT_ENTRIES) + self.users


@dataclass(frozen=True, slots=True)
class Payer:
    """A customer that requests are about, by their number from 1."""

    number: int
    payers: int

    @property
    def user_id(self) -> UserId:
        return UserId(UUID(int=_USER + self.number))

    @property
    def session_id(self) -> SessionId:
        return SessionId(UUID(int=_SESSION + self.number))

    def transaction_id(self, number: int) -> TransactionId:
        """One of theirs, by its number from 0 to PAYER_TRANSACTIONS - 1, oldest first."""
        return TransactionId(UUID(int=_TRANSACTION + number * self.payers + self.number))


@dataclass(frozen=True, slots=True)
class Database:
    """The database as its different users reach it. `florin_statements` is what benchmarks/florin_statements.py found."""

    sizes: Sizes
    owner_url: str
    app_url: str
    admin_url: str
    postmaster: int
    florin_statements: str = ""

    @property
    def payers(self) -> list[Payer]:
        return [Payer(number, self.sizes.payers) for number in range(1, self.sizes.payers + 1)]

    @property
    def writers(self) -> list[Payer]:
        """As many other customers, who pay: what is read stays as it was made."""
        number = self.sizes.payers
        return [Payer(number + each, number) for each in range(1, min(number, self.sizes.users - number) + 1)]

    async def version(self) -> str:
        connection = await asyncpg.connect(self.app_url)
        try:
            return str(await connection.fetchval("SHOW server_version"))
        finally:
            await connection.close()

    def cpu(self) -> float:
        """The CPU time of all of PostgreSQL's processes so far, in seconds."""
        return cpu_of(self.postmaster)


_STATEMENTS = (
    "SET session_replication_role = replica",
    "SET synchronous_commit = off",
    """
    INSERT INTO users (id, email, name, role, created_at)
    SELECT ('018d0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'customer' || n || '@example.com', 'Customer ' || n,
        'CUSTOMER', '2025-12-31T00:00:00Z'::timestamptz + n * interval '1 second'
    FROM generate_series(1, {users}) AS n
    """,
    """
    INSERT INTO sessions (id, user_id, kind, second_factor, created_at, last_used_at, expires_at)
    SELECT ('018e0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        ('018d0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'COMMAND_LINE', true,
        '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', '2035-01-01T00:00:00Z'
    FROM generate_series(1, {users}) AS n
    """,
    """
    INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed, fee,
        fee_currency, capture_method, payment_method_id, card_brand, card_last4, card_expiry_month, card_expiry_year,
        description, metadata, processor, processor_reference, processor_status, version, created_at, updated_at)
    SELECT ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        ('018d0000-0000-7000-8000-' || lpad(to_hex(CASE WHEN n <= {payers} * {payer_transactions}
            THEN 1 + (n - 1) % {payers} ELSE {payers} + 1 + n % ({users} - {payers}) END), 12, '0'))::uuid,
        'COMPLETED', 500 + n % 24500, 'USD', 500 + n % 24500, 0, 0, 0, 30 + (500 + n % 24500) * 29 / 1000,
        'USD', 'AUTOMATIC', 'pm_card_visa', 'visa', '4242', 12, 2040,
        'Order ' || n, '{{"order": 1}}', 'stripe', 'pi_benchmark_' || n, 'succeeded', 3,
        '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second' + n % 1000 * interval '1 millisecond',
        '2026-01-01T00:00:02Z'::timestamptz + n * interval '1 second'
    FROM generate_series(1, {transactions}) AS n
    """,
    """
    INSERT INTO audit_entries (id, transaction_id, action, actor_kind, actor_id, details, at)
    SELECT ('0190000' || step || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        (ARRAY['transaction.created', 'transaction.pending', 'transaction.completed'])[step],
        CASE step WHEN 1 THEN 'USER' ELSE 'PROCESSOR' END,
        CASE step WHEN 1 THEN t.user_id END, '{{"amount": 1000}}',
        '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second' + step * interval '100 milliseconds'
    FROM generate_series(1, {transactions}) AS n
        JOIN transactions t ON t.id = ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
        CROSS JOIN generate_series(1, {audit_entries}) AS step
    ORDER BY n, step
    """,
    "ANALYZE",
)


@contextmanager
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server. Its data is kept in a folder that git does not know, and it writes as durably as one in production."""
    RESULTS.mkdir(exist_ok=True)
    with EmbeddedPostgres(RESULTS / "postgres") as server:
        yield server


async def database(server: EmbeddedPostgres, sizes: Sizes) -> Database:
    """The database of these sizes in that server, made where it is not there yet or was made by an earlier version."""
    name = f"benchmark_{sizes.transactions}_{sizes.users}"
    owner_url, app_url, admin_url = (
        _with_database(url, name) for url in (server.url, server.app_url, server.admin_url)
    )
    found = Database(sizes, owner_url, app_url, admin_url, server.pid or 0)
    admin = await asyncpg.connect(server.admin_url)
    try:
        comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
        if await admin.fetchval(comment, name) != _SEED:
            print(f"making the database: {sizes.rows:,} rows", flush=True)
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}"')
            await admin.execute(f'CREATE DATABASE "{name}" OWNER florin')
            await _migrate(found)
            await _fill(found)
            await admin.execute(f"COMMENT ON DATABASE \"{name}\" IS '{_SEED}'")
        else:
            await _migrate(found)
    finally:
        await admin.close()
    return found


async def _migrate(database: Database) -> None:
    engine = open_engine(DatabaseConfig(url=database.owner_url, pool_size=1))
    try:
        await migrate(engine, application=ApplicationRole(name=APP_ROLE))
    finally:
        await engine.dispose()


async def _fill(database: Database) -> None:
    sizes = database.sizes
    connection = await asyncpg.connect(database.admin_url)
    try:
        for statement in _STATEMENTS:
            await connection.execute(
                statement.format(
                    users=sizes.users,
                    transactions=sizes.transactions,
                    payers=sizes.payers,
                    payer_transactions=PAYER_TRANSACTIONS,
                    audit_entries=AUDIT_ENTRIES,
                )
            )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
