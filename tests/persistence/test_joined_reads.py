"""What requests read at the same time is one statement, in which each is told what it may see, and nothing of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING, Role, Scope
from domain.audit import AuditEntry
from domain.errors import Unavailable
from domain.ids import TransactionId, UserId
from domain.payments.queries import Page, PageRequest
from domain.payments.refund import Refund
from persistence.engine import DatabaseConfig, open_engine
from persistence.joined_reads import SHARED_MAX
from persistence.reader import SqlReader
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import SequentialIds
from tests.support.database import empty
from tests.support.records import add_transaction, audit_entry, refund, transaction, user
from tests.support.statements import counted

ReadOfChildren: TypeAlias = Callable[
    [Sequence[TransactionId], PageRequest, Scope],
    Awaitable[Mapping[TransactionId, "Page[AuditEntry] | Page[Refund]"]],
]

_CUSTOMERS = 4
_EACH = 3


@pytest.fixture(scope="module")
async def owned_by(migrated_engine: AsyncEngine) -> Mapping[TransactionId, UserId]:
    """Some customers' transactions, each with two entries and a refund, and whose they are."""
    await empty(migrated_engine)
    units, ids = SqlUnitsOfWork(migrated_engine), SequentialIds()
    found: dict[TransactionId, UserId] = {}
    for _ in range(_CUSTOMERS):
        somebody = user(ids.new(), role=Role.CUSTOMER)
        async with units.begin() as uow:
            await uow.users.add(somebody)
        for _ in range(_EACH):
            made = await add_transaction(units, transaction(ids.new(), somebody.id))
            async with units.begin() as uow:
                await uow.audit.append(audit_entry(ids.new(), made))
                await uow.audit.append(audit_entry(ids.new(), made))
                await uow.refunds.add(refund(ids.new(), made))
            found[made.id] = somebody.id
    return found


@pytest.fixture
def reader(migrated_engine: AsyncEngine) -> SqlReader:
    return SqlReader(migrated_engine)


def scopes(owned_by: Mapping[TransactionId, UserId]) -> list[Scope]:
    return [Scope(owner) for owner in dict.fromkeys(owned_by.values())]


async def test_customers_who_ask_at_once_share_a_statement_and_see_their_own(
    owned_by: Mapping[TransactionId, UserId], reader: SqlReader, migrated_engine: AsyncEngine
) -> None:
    everything = list(owned_by)[:SHARED_MAX]
    asking = scopes(owned_by)
    with counted(migrated_engine) as sent:
        found = await asyncio.gather(*(reader.transactions_by_ids(everything, scope) for scope in asking))
    assert len(sent) == 1
    for scope, seen in zip(asking, found, strict=True):
        assert set(seen) == {each for each in everything if owned_by[each] == scope.owner}
        assert all(record.id == wanted and record.user_id == scope.owner for wanted, record in seen.items())


async def test_so_do_pages_of_what_hangs_on_a_transaction(
    owned_by: Mapping[TransactionId, UserId], reader: SqlReader, migrated_engine: AsyncEngine
) -> None:
    everything = list(owned_by)[:SHARED_MAX]
    asking, page = scopes(owned_by), PageRequest(size=1)
    reads: list[ReadOfChildren] = [reader.audit_log_of, reader.refunds_of]
    for read in reads:
        with counted(migrated_engine) as sent:
            found = await asyncio.gather(*(read(everything, page, scope) for scope in asking))
        assert len(sent) == 1
        for scope, pages in zip(asking, found, strict=True):
            assert list(pages) == everything
            for wanted, one in pages.items():
                own = owned_by[wanted] == scope.owner
                assert [record.transaction_id for record in one.items] == [wanted] * own
                assert one.has_next == (own and read == reader.audit_log_of)


async def test_whoever_sees_everything_has_a_statement_without_scopes(
    owned_by: Mapping[TransactionId, UserId], reader: SqlReader, migrated_engine: AsyncEngine
) -> None:
    everything, [somebody, *_] = list(owned_by)[:SHARED_MAX], scopes(owned_by)
    with counted(migrated_engine) as sent:
        all_of_them, again, own = await asyncio.gather(
            *(reader.transactions_by_ids(everything, scope) for scope in (EVERYTHING, EVERYTHING, somebody))
        )
    assert len(sent) == 2
    assert list(all_of_them) == list(again) == everything
    assert list(own) == [each for each in everything if owned_by[each] == somebody.owner]


async def test_whoever_asks_for_much_shares_with_nobody(
    owned_by: Mapping[TransactionId, UserId], reader: SqlReader, migrated_engine: AsyncEngine
) -> None:
    much = list(owned_by)[: SHARED_MAX + 1]
    with counted(migrated_engine) as sent:
        found = await asyncio.gather(*(reader.transactions_by_ids(much, scope) for scope in scopes(owned_by)))
    assert len(sent) == _CUSTOMERS
    assert [len(seen) for seen in found] == [_EACH] * (len(much) // _EACH) + [0] * (_CUSTOMERS - len(much) // _EACH)


async def test_pages_after_a_cursor_are_each_clients_own(
    owned_by: Mapping[TransactionId, UserId], reader: SqlReader
) -> None:
    [first, *_] = owned_by
    page = (await reader.audit_log_of([first], PageRequest(size=1), EVERYTHING))[first]
    kept = len(reader._joined)
    for _ in range(3):
        after = await reader.audit_log_of([first], PageRequest(size=1, after=page.positions[0]), EVERYTHING)
        assert len(after[first].items) == 1
        assert after[first].items != page.items
    assert len(reader._joined) == kept


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data())
async def test_nobody_is_told_what_another_asked_for(
    data: st.DataObject, owned_by: Mapping[TransactionId, UserId], reader: SqlReader
) -> None:
    somebody_s = st.sampled_from([*scopes(owned_by), Scope(UserId(UUID(int=1))), EVERYTHING])
    some = st.lists(st.sampled_from([*owned_by, TransactionId(UUID(int=2))]), max_size=SHARED_MAX, unique=True)
    asking = data.draw(st.lists(st.tuples(somebody_s, some), min_size=2, max_size=8))

    async def transactions(scope: Scope, wanted: Sequence[TransactionId]) -> None:
        seen = await reader.transactions_by_ids(wanted, scope)
        assert set(seen) == {each for each in wanted if scope.owner in {None, owned_by.get(each)} and each in owned_by}
        assert all(record.id == each for each, record in seen.items())

    async def entries(scope: Scope, wanted: Sequence[TransactionId]) -> None:
        pages = await reader.audit_log_of(wanted, PageRequest(size=5), scope)
        for each in wanted:
            own = each in owned_by and scope.owner in {None, owned_by[each]}
            assert [entry.transaction_id for entry in pages[each].items] == [each] * (2 if own else 0)

    await asyncio.gather(*(transactions(*each) for each in asking), *(entries(*each) for each in asking))


async def test_one_who_is_given_up_takes_nobody_along(
    owned_by: Mapping[TransactionId, UserId], reader: SqlReader
) -> None:
    [first, *_] = owned_by
    given_up, other = (asyncio.ensure_future(reader.transactions_by_ids([first], EVERYTHING)) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    assert list(await other) == [first]
    assert given_up.cancelled()


async def test_all_are_told_where_the_database_fails(
    owned_by: Mapping[TransactionId, UserId], migrated_engine: AsyncEngine
) -> None:
    url = migrated_engine.url.set(database="nowhere").render_as_string(hide_password=False)
    engine = open_engine(DatabaseConfig(url=url.replace("postgresql+asyncpg", "postgresql")))
    reads = SqlReader(engine)
    answers = await asyncio.gather(
        *(reads.transactions_by_ids(list(owned_by)[:1], scope) for scope in scopes(owned_by)), return_exceptions=True
    )
    assert [type(each) for each in answers] == [Unavailable] * _CUSTOMERS
    await engine.dispose()
