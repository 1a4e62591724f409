"""A unit of work's connection: what is sent on it, how it ends, and in what state it is given back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Integer, Text, bindparam, func, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import Unavailable
from persistence.connection import Connection, RolledBack
from persistence.engine import open_engine, working
from persistence.pool import Borrowed, MovingPool
from persistence.statements import compiled, written_out
from persistence.tables import audit_entries, transactions, users
from tests.support.database import patient_config, rows
from tests.support.records import user
from tests.support.statements import round_trips

_BACKEND = compiled(select(func.pg_backend_pid().label("pid")))
_SLEEP = compiled(select(func.pg_sleep(60)))
_FAIL = compiled(select(1 / bindparam("divisor", type_=Integer)))
_ADD = compiled(insert(users), ("id", "email", "name", "role", "created_at"))
_SOMEBODY = user(UUID(int=1))
_VALUES = {
    "id": _SOMEBODY.id,
    "email": _SOMEBODY.email,
    "name": _SOMEBODY.name,
    "role": _SOMEBODY.role.value,
    "created_at": _SOMEBODY.created_at,
}


class Stopped(Exception):
    """What a test ends a unit of work with."""


@pytest.fixture
async def small(engine: AsyncEngine, app_database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection, so that whoever comes next gets the same one unless it was closed."""
    small = open_engine(replace(patient_config(app_database_url), pool_size=1))
    yield small
    await small.dispose()


async def backend(connection: Connection) -> int:
    row = await connection.fetch_one(_BACKEND)
    assert row is not None
    return int(row["pid"])


async def backend_of(engine: AsyncEngine) -> int:
    async with working(engine, alone=True) as connection:
        return await backend(connection)


async def work_that_stops(engine: AsyncEngine, *, alone: bool = False) -> None:
    async with working(engine, alone=alone) as connection:
        await connection.execute(_ADD, _VALUES)
        raise Stopped


async def work_that_fails(engine: AsyncEngine) -> None:
    async with working(engine) as connection:
        await connection.execute(_ADD, _VALUES)
        await connection.fetch(_FAIL, {"divisor": 0})


async def work_that_loses_its_connection(engine: AsyncEngine, another: AsyncEngine, *, goes_on: bool) -> None:
    async with working(engine) as connection:
        await connection.execute(_ADD, _VALUES)
        await end_of(another, await backend(connection))
        for _ in range(2 if goes_on else 0):
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await connection.fetch(_BACKEND)


async def work_that_keeps_a_failure_to_itself(engine: AsyncEngine) -> None:
    async with working(engine) as connection:
        await connection.execute(_ADD, _VALUES)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetch(_FAIL, {"divisor": 0})


async def stored(engine: AsyncEngine) -> int:
    return len(await rows(engine, "SELECT 1 FROM users"))


async def end_of(engine: AsyncEngine, pid: int) -> None:
    assert await rows(engine, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid) == [(True,)]


async def test_a_unit_of_work_begins_with_its_first_statement_and_commits(small: AsyncEngine) -> None:
    with round_trips(small) as sent:
        async with working(small) as connection:
            assert sent == []
            assert await connection.execute(_ADD, _VALUES) == 1
            assert await connection.fetch_one(_BACKEND) is not None
    assert sent == ["BEGIN", _ADD.text, _BACKEND.text, "COMMIT"]
    assert await stored(small) == 1


async def test_a_unit_of_work_without_a_statement_sends_nothing(small: AsyncEngine) -> None:
    with round_trips(small) as sent:
        async with working(small):
            pass
        with pytest.raises(Stopped):
            async with working(small):
                raise Stopped
    assert sent == []


async def test_a_statement_alone_is_all_that_is_sent_and_stays_whatever_comes_after_it(small: AsyncEngine) -> None:
    with round_trips(small) as sent, pytest.raises(Stopped):
        await work_that_stops(small, alone=True)
    assert sent == [_ADD.text]
    assert await stored(small) == 1


async def test_work_that_fails_is_rolled_back_and_its_connection_goes_on(small: AsyncEngine) -> None:
    own = await backend_of(small)
    with round_trips(small) as sent, pytest.raises(Stopped):
        await work_that_stops(small)
    assert sent == ["BEGIN", _ADD.text, "ROLLBACK"]
    assert await stored(small) == 0
    assert await backend_of(small) == own


async def test_a_statement_that_fails_rolls_all_back_and_costs_no_connection(small: AsyncEngine) -> None:
    own = await backend_of(small)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await work_that_fails(small)
    assert await stored(small) == 0
    assert await backend_of(small) == own


async def test_a_failure_that_nobody_tells_of_does_not_pass_for_a_commit(small: AsyncEngine) -> None:
    own = await backend_of(small)
    with pytest.raises(RolledBack):
        await work_that_keeps_a_failure_to_itself(small)
    assert await stored(small) == 0
    assert await backend_of(small) == own


async def test_what_the_commit_refuses_is_told_and_costs_no_connection(small: AsyncEngine) -> None:
    own = await backend_of(small)
    unbalanced = (
        "INSERT INTO journal_entries (id, transaction_id, kind, source, lines, posted_at)"
        " SELECT gen_random_uuid(), id, 'CAPTURED', 's', 2, now() FROM transactions"
    )
    async with working(small) as connection:
        await connection.execute(_ADD, _VALUES)
        await connection.execute(
            text(
                "INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved,"
                " disputed, capture_method, payment_method_id, metadata, processor, version, created_at, updated_at)"
                " SELECT id, id, 'PENDING', 1000, 'USD', 0, 0, 0, 0, 'AUTOMATIC', 'pm', '{}', 'stripe', 1, now(), now()"
                " FROM users"
            )
        )
    with pytest.raises(asyncpg.PostgresError, match="entry"):
        async with working(small) as connection:
            assert await connection.execute(text(unbalanced)) == 1
    assert await rows(small, "SELECT 1 FROM journal_entries") == []
    assert await backend_of(small) == own


async def test_work_that_is_cancelled_between_statements_is_rolled_back(small: AsyncEngine) -> None:
    own, added = await backend_of(small), asyncio.Event()

    async def work() -> None:
        async with working(small) as connection:
            await connection.execute(_ADD, _VALUES)
            added.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stored(small) == 0
    assert await backend_of(small) == own


@pytest.mark.parametrize("alone", [False, True])
async def test_work_that_is_cancelled_in_the_midst_of_a_statement_leaves_no_connection_behind(
    small: AsyncEngine, alone: bool
) -> None:
    own, begun = await backend_of(small), asyncio.Event()

    async def work() -> None:
        async with working(small, alone=alone) as connection:
            begun.set()
            await connection.fetch(_SLEEP)

    task = asyncio.create_task(work())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await backend_of(small) != own


async def test_a_connection_that_was_lost_takes_no_more_statements(small: AsyncEngine, engine: AsyncEngine) -> None:
    with pytest.raises(Unavailable):
        await work_that_loses_its_connection(small, engine, goes_on=True)
    assert await stored(engine) == 0


async def test_a_connection_that_is_lost_before_the_commit_keeps_nothing(
    small: AsyncEngine, engine: AsyncEngine
) -> None:
    with pytest.raises(Unavailable):
        await work_that_loses_its_connection(small, engine, goes_on=False)
    assert await stored(small) == 0


class _Interrupted:
    """The driver's connection, on which something else happens instead of, or after, what is sent."""

    def __init__(self, driver: Any, of: str, happens: Callable[[Any, str], Awaitable[str]]) -> None:  # Any: asyncpg
        self._driver = driver
        self._of = of
        self._happens = happens

    async def execute(self, sent: str, *arguments: object) -> str:
        if sent == self._of:
            return await self._happens(self._driver, sent)
        status: str = await self._driver.execute(sent, *arguments)
        return status

    def __getattr__(self, name: str) -> Any:  # Any: whatever the driver has
        return getattr(self._driver, name)


def interrupt(patched: pytest.MonkeyPatch, of: str, happens: Callable[[Any, str], Awaitable[str]]) -> None:
    borrow = MovingPool.borrow

    async def borrowed(pool: MovingPool) -> Borrowed:
        taken = await borrow(pool)
        taken.driver = _Interrupted(taken.driver, of, happens)
        return taken

    patched.setattr(MovingPool, "borrow", borrowed)


async def unheard(driver: Any, sent: str) -> str:  # Any: asyncpg is not typed
    await driver.execute(sent)
    raise asyncpg.ConnectionDoesNotExistError("the connection broke before the answer came")


async def cancelled(driver: Any, sent: str) -> str:  # Any: as above
    await driver.execute(sent)
    raise asyncio.CancelledError


async def refused(driver: Any, sent: str) -> str:  # Any: as above
    raise asyncpg.InternalServerError("it does not say in what state that leaves the connection")


@pytest.mark.parametrize(("happens", "told"), [(unheard, Unavailable), (cancelled, asyncio.CancelledError)])
async def test_a_commit_of_which_nobody_hears_is_no_success_and_its_connection_is_closed(
    small: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[Any, str], Awaitable[str]],
    told: type[BaseException],
) -> None:
    own = await backend_of(small)
    with monkeypatch.context() as patched:
        interrupt(patched, "COMMIT", happens)
        with pytest.raises(told):
            async with working(small) as connection:
                await connection.execute(_ADD, _VALUES)
    assert await stored(small) == 1
    assert await backend_of(small) != own


@pytest.mark.parametrize("happens", [unheard, refused])
async def test_a_connection_that_could_not_be_rolled_back_is_closed_and_the_works_own_error_told(
    small: AsyncEngine, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Any, str], Awaitable[str]]
) -> None:
    own = await backend_of(small)
    with monkeypatch.context() as patched:
        interrupt(patched, "ROLLBACK", happens)
        with pytest.raises(Stopped):
            await work_that_stops(small)
    assert await stored(small) == 0
    assert await backend_of(small) != own


async def test_a_connection_that_cannot_begin_is_unavailable(
    small: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await backend_of(small)
    with monkeypatch.context() as patched:
        interrupt(patched, "BEGIN", unheard)
        with pytest.raises(Unavailable):
            async with working(small) as connection:
                await connection.execute(_ADD, _VALUES)
    assert await stored(small) == 0
    assert await backend_of(small) != own


@pytest.mark.parametrize("impatient", ["statement_timeout_seconds", "lock_timeout_seconds"])
async def test_what_waits_too_long_is_unavailable_and_costs_no_connection(
    app_database_url: str, engine: AsyncEngine, impatient: str
) -> None:
    changed: dict[str, Any] = {impatient: 0.05}  # Any: one of the config's numbers
    small = open_engine(replace(patient_config(app_database_url), pool_size=1, **changed))
    own = await backend_of(small)
    async with working(engine) as holder:
        await holder.fetch(text("LOCK TABLE users"))
        with pytest.raises(Unavailable):
            async with working(small) as connection:
                await connection.execute(_ADD, _VALUES)
    assert await backend_of(small) == own
    await small.dispose()


async def test_one_row_is_one_row(small: AsyncEngine) -> None:
    async with working(small, alone=True) as connection:
        assert await connection.fetch_one(compiled(select(users))) is None
        with pytest.raises(ValueError, match="too many values"):
            await connection.fetch_one(text("SELECT generate_series(1, 2)"))


def test_a_statement_for_one_run_holds_its_lists() -> None:
    made = written_out(select(users.c.id).where(users.c.role.in_(["ADMIN", "SUPPORT"]), users.c.name == "Ada"))
    assert sorted(map(str, made.arguments({}))) == ["ADMIN", "Ada", "SUPPORT"]
    assert made.text.count("$") == 3


def test_json_is_sent_as_text_and_all_else_as_it_is() -> None:
    added = compiled(insert(audit_entries), ("id", "details"))
    assert added.arguments({"id": UUID(int=1), "details": {"a": [1, None]}}) == [UUID(int=1), '{"a":[1,null]}']
    found = compiled(select(transactions.c.id).where(users.c.name == func.any(bindparam("names", type_=ARRAY(Text)))))
    assert found.arguments({"names": ["Ada"]}) == [["Ada"]]
    fixed = compiled(insert(audit_entries).values(details={"b": 2}), ("id",))
    assert set(map(str, fixed.arguments({"id": 1}))) == {"1", '{"b":2}'}
