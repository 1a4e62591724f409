"""What is stored of one run, read past the repositories, and the time of its attempts moved on."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

Row: TypeAlias = Mapping[str, Any]  # Any: a column has the type that its table says


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The rows of one run, oldest first."""

    transactions: Sequence[Row]
    refunds: Sequence[Row]
    attempts: Sequence[Row]
    audit: Sequence[Row]
    keys: Sequence[Row]
    events: Sequence[Row]
    disputes: Sequence[Row]
    ledger: Sequence[Row]


class Observer:
    """A connection that looks on from outside of all processes, for one at a time."""

    def __init__(self, connection: Any) -> None:  # Any: asyncpg has no types
        self._connection = connection
        self._free = asyncio.Lock()

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        async with self._free:
            found: Sequence[Row] = await self._connection.fetch(query, *values)
            return found

    async def wait_until_gone(self, backend: int) -> None:
        """Wait until the server has noticed that a connection is gone, and undone what was open on it."""
        while await self.fetch("SELECT 1 FROM pg_stat_activity WHERE pid = $1", backend):
            pass

    async def execute_many(self, statement: str, values: Iterable[Sequence[object]]) -> None:
        async with self._free:
            await self._connection.executemany(statement, values)


class Bookkeeper:
    """Reads and ages the rows of one run. All runs on a database follow each other, so that only one has open attempts."""

    def __init__(self, observer: Observer, users: Sequence[UUID]) -> None:
        self._observer = observer
        self._users = list(users)

    async def read(self, events: Sequence[str]) -> Books:
        fetch = self._observer.fetch
        transactions = await fetch("SELECT * FROM transactions WHERE user_id = ANY($1) ORDER BY id", self._users)
        ids = [row["id"] for row in transactions]
        return Books(
            transactions=transactions,
            refunds=await fetch("SELECT * FROM refunds WHERE transaction_id = ANY($1) ORDER BY id", ids),
            attempts=await fetch("SELECT * FROM attempts WHERE transaction_id = ANY($1) ORDER BY id", ids),
            audit=await fetch(
                "SELECT transaction_id, action, details->>'from' AS came_from FROM audit_entries"
                " WHERE transaction_id = ANY($1) ORDER BY number",
                ids,
            ),
            keys=await fetch("SELECT * FROM idempotency_keys WHERE actor_id = ANY($1)", self._users),
            events=await fetch("SELECT id, state, reason FROM webhook_events WHERE id = ANY($1)", list(events)),
            disputes=await fetch("SELECT * FROM disputes WHERE transaction_id = ANY($1) ORDER BY id", ids),
            ledger=await fetch(
                "SELECT journal.transaction_id, journal.id AS entry_id, journal.kind, line.currency, line.amount,"
                " account.kind AS account FROM journal_entries AS journal"
                " JOIN ledger_entries AS line ON line.entry_id = journal.id"
                " LEFT JOIN ledger_accounts AS account ON account.id = line.account_id"
                " WHERE journal.transaction_id = ANY($1)",
                ids,
            ),
        )

    async def make_due(self) -> None:
        """Let leases and pauses be over, but for what a process holds locked at this moment."""
        await self._observer.fetch(
            "UPDATE attempts SET lease_until = NULL, next_check_at = clock_timestamp() - interval '1 hour'"
            " WHERE id IN (SELECT id FROM attempts WHERE state = 'OPEN' FOR UPDATE SKIP LOCKED)"
        )
        await self._observer.fetch(
            "UPDATE webhook_events SET next_try_at = clock_timestamp() - interval '1 hour' WHERE id IN"
            " (SELECT id FROM webhook_events WHERE state = 'RECEIVED' FOR UPDATE SKIP LOCKED)"
        )

    async def age(self, by: timedelta) -> None:
        """Let so much time have passed since what is open was sent; the database's own clock cannot be moved."""
        await self._observer.fetch(
            "UPDATE attempts SET first_sent_at = first_sent_at - $1::interval, unknown_since = unknown_since - $1"
            " WHERE state = 'OPEN'",
            by,
        )

    async def left(self) -> Sequence[Row]:
        """The attempts that wait for a person."""
        return await self._observer.fetch(
            "SELECT attempts.* FROM attempts JOIN transactions ON transactions.id = attempts.transaction_id"
            " WHERE transactions.user_id = ANY($1) AND attempts.state IN ('MANUAL', 'PARKED')",
            self._users,
        )

    async def is_unfinished(self) -> bool:
        """Whether an attempt or an event is open."""
        return await self._holds(
            "EXISTS (SELECT 1 FROM attempts WHERE state = 'OPEN')"
            " OR EXISTS (SELECT 1 FROM webhook_events WHERE state = 'RECEIVED')"
        )

    async def somebody_waits_for_a_lock(self) -> bool:
        return await self._holds(
            "EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"
        )

    async def retire(self) -> None:
        """Leave nothing behind that the worker of the next run would take up."""
        await self._observer.fetch("UPDATE attempts SET state = 'DONE', lease_until = NULL WHERE state = 'OPEN'")
        await self._observer.fetch("UPDATE webhook_events SET state = 'IGNORED' WHERE state = 'RECEIVED'")

    async def _holds(self, condition: str) -> bool:
        (row,) = await self._observer.fetch(f"SELECT {condition} AS holds")
        return bool(row["holds"])
