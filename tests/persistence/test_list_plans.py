"""Every filter and order of every list goes by an index, on the last page as on the first one: PostgreSQL's own plans, run.

The tables are large enough for reading them whole not to be the best that can be done. What is counted is rows, and not time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING, Actor, Role, Scope
from domain.currencies import Currency
from domain.identity.queries import UserFilter
from domain.ids import UserId
from domain.messaging.inbox import InboxFilter
from domain.messaging.webhook_events import EventState
from domain.payments.attempt import AttemptKind
from domain.payments.attempt_queries import AttemptFilter
from domain.payments.queries import (
    Order,
    OrderDirection,
    OrderField,
    Page,
    PageRequest,
    RefundFilter,
    TransactionFilter,
)
from domain.payments.refund import RefundStatus
from domain.payments.transaction import TransactionStatus
from domain.reconciliation.discrepancies import DiscrepancyFilter, DiscrepancyKind
from persistence.attempt_reader import SqlAttemptReader
from persistence.discrepancies import SqlDiscrepancyReader
from persistence.dispute_reader import SqlDisputeReader
from persistence.identity_reader import SqlIdentityReader
from persistence.inbox import SqlInboxReader
from persistence.ledger_reader import SqlLedgerReader
from persistence.reader import SqlReader
from tests.support.large_tables import FREQUENT, MANIFOLD, large_tables, transaction_number, user_number
from tests.support.plans import Plan, plan_of
from tests.support.statements import asked

# Any: pages of every kind of record are asked for alike.
Read: TypeAlias = Callable[[PageRequest], Awaitable[Page[Any]]]

SIZE = 50
# A page with the row more that tells whether there is another one, of each of a few pieces, and what a filter leaves out between.
ROWS_READ_MAX = 1500
# What words are in is looked for in a few thousand rows of the list first.
ROWS_READ_FOR_WORDS_MAX = ROWS_READ_MAX + 5000 + 51
# Of two ranges at once, such as a day in the order of amounts, an index can have but one: the planner takes the one that is read
# less of, and of 100,000 rows that is at the worst their square root times that of a page.
ROWS_READ_OF_TWO_RANGES_MAX = 8000

# At the worst all of a frequent payer's own, for words, and for amounts, which are another range in each currency.
ROWS_READ_OF_OWN_MAX = 25000

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
S = TransactionStatus
ADMIN = Actor(UserId(UUID(int=0)), Role.ADMIN)


@pytest.fixture(scope="module")
async def large(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database with large tables, which no test changes."""
    async with large_tables(database_url) as engine:
        yield engine


async def plan_of_read(engine: AsyncEngine, read: Callable[[], Awaitable[object]]) -> Plan:
    """The plan of a read that is one statement."""
    with asked(engine) as statements:
        await read()
    ((statement, arguments),) = statements
    return await plan_of(engine, statement, arguments)


async def plans_of(engine: AsyncEngine, read: Read) -> dict[str, Plan]:
    """Those of the first and the last page, both from where the list begins and from where it ends."""
    first, last = PageRequest(size=SIZE), PageRequest(size=SIZE, from_end=True)
    beginning, end = await read(first), await read(last)
    assert beginning.items, "A filter that finds nothing shows nothing."
    asked_for = {"first": first, "last": last}
    asked_for["after all but a page"] = PageRequest(size=SIZE, after=end.positions[0])
    asked_for["before all but a page"] = PageRequest(size=SIZE, from_end=True, before=beginning.positions[-1])
    return {name: await plan_of_read(engine, lambda page=page: read(page)) for name, page in asked_for.items()}  # type: ignore[misc]


async def check(
    engine: AsyncEngine, read: Read, *, rows_read_max: int = ROWS_READ_MAX, sorted_max: int = 4 * SIZE
) -> None:
    for name, plan in (await plans_of(engine, read)).items():
        assert plan.scanned_whole == set(), f"{name}: {plan}"
        assert plan.rows_read <= rows_read_max, f"{name}: {plan}"
        assert plan.rows_sorted <= sorted_max, f"{name}: {plan}"


@dataclass(frozen=True, slots=True)
class Case:
    """A filter, and whether a list by it in either order is one of two ranges."""

    where: TransactionFilter
    by_time_in_two_ranges: bool = False
    by_amount_in_two_ranges: bool = False

    @property
    def in_major_units(self) -> bool:
        return self.where.amount_min is not None or self.where.amount_max is not None


F = TransactionFilter
FILTERS = {
    "none": Case(F()),
    "status": Case(F(statuses=frozenset({S.FAILED}))),
    "rare status": Case(F(statuses=frozenset({S.CANCELED}))),
    "statuses": Case(F(statuses=frozenset({S.COMPLETED, S.CANCELED, S.FAILED}))),
    "currency": Case(F(currencies=frozenset({Currency.USD}))),
    "rare currency": Case(F(currencies=frozenset({Currency.KWD}))),
    "currencies": Case(F(currencies=frozenset({Currency.KWD, Currency.USD}))),
    "user": Case(F(user_id=FREQUENT)),
    "created since": Case(F(created_from=BEGAN + 300 * DAY)),
    "created until": Case(F(created_to=BEGAN + 300 * DAY)),
    "created on a day": Case(
        F(created_from=BEGAN + 99 * DAY, created_to=BEGAN + 100 * DAY), by_amount_in_two_ranges=True
    ),
    "amount from": Case(F(amount_min=Decimal(300))),
    "amount to": Case(F(amount_max=Decimal(300))),
    "amount between": Case(F(amount_min=Decimal(300), amount_max=Decimal(301)), by_time_in_two_ranges=True),
    "rare word": Case(F(text="rare")),
    "words": Case(F(text="order 4711")),
    "frequent word": Case(F(text="order")),
    "needs attention": Case(F(needs_attention=True)),
    "needs none": Case(F(needs_attention=False)),
}


@pytest.mark.parametrize("direction", OrderDirection)
@pytest.mark.parametrize("case", FILTERS.values(), ids=FILTERS)
async def test_transactions(large: AsyncEngine, case: Case, direction: OrderDirection) -> None:
    reader = SqlReader(large)
    for scope in (EVERYTHING, Scope(FREQUENT)):
        for column in OrderField:
            rows, may_sort = _bounds(case, column, own=scope.owner is not None)
            order = Order(column, direction)

            async def read(page: PageRequest, scope: Scope = scope, order: Order = order) -> Page[Any]:
                return await reader.transactions(scope, case.where, order, page)

            await check(large, read, rows_read_max=rows, sorted_max=may_sort)


def _bounds(case: Case, column: OrderField, *, own: bool) -> tuple[int, int]:
    """How many rows may be read, and sorted, at the most."""
    if own and (case.where.text is not None or case.in_major_units):
        return ROWS_READ_OF_OWN_MAX, ROWS_READ_OF_OWN_MAX
    if case.where.text is not None:
        return ROWS_READ_FOR_WORDS_MAX, 6 * SIZE
    if case.by_time_in_two_ranges if column is OrderField.CREATED_AT else case.by_amount_in_two_ranges:
        return ROWS_READ_OF_TWO_RANGES_MAX, ROWS_READ_OF_TWO_RANGES_MAX
    return ROWS_READ_MAX, 4 * SIZE


async def test_a_node_is_looked_up(large: AsyncEngine) -> None:
    reader = SqlReader(large)
    ids = [transaction_number(n) for n in range(1, SIZE)]
    for scope in (EVERYTHING, Scope(FREQUENT)):
        plan = await plan_of_read(large, lambda scope=scope: reader.transactions_by_ids(ids, scope))  # type: ignore[misc]
        assert (plan.scanned_whole, plan.rows_read <= 2 * SIZE) == (set(), True), str(plan)


async def test_what_hangs_on_a_transaction_is_looked_up(large: AsyncEngine) -> None:
    """By its own key, and its transaction by its key: nothing is gone through of all that its owner has."""
    reader = SqlReader(large)
    logs = await reader.audit_log_of([MANIFOLD], PageRequest(size=SIZE), EVERYTHING)
    ids = [entry.id for entry in logs[MANIFOLD].items]
    for scope in (EVERYTHING, Scope(FREQUENT)):
        plan = await plan_of_read(large, lambda scope=scope: reader.audit_entries_by_ids(ids, scope))  # type: ignore[misc]
        assert (plan.scanned_whole, plan.rows_read <= 3 * len(ids)) == (set(), True), str(plan)


@pytest.mark.parametrize("owner", [None, FREQUENT], ids=["everybody's", "own"])
async def test_children_of_a_page_cost_the_same_whoever_has_ten_thousand_of_them(
    large: AsyncEngine, owner: UserId | None
) -> None:
    """A page of each parent's children is cut from the index, in order; what there is beyond it is not looked at."""
    parents = [MANIFOLD, *(transaction_number(n) for n in range(1, SIZE))]
    reader, scope, few = SqlReader(large), Scope(owner), PageRequest(size=5)
    reads: list[Callable[[PageRequest], Awaitable[object]]] = [
        lambda page: reader.audit_log_of(parents, page, scope),
        lambda page: reader.refunds_of(parents, page, scope),
        lambda page: SqlDisputeReader(large).disputes_of(parents, page, scope),
    ]
    for read in reads:
        for page in (few, replace(few, from_end=True)):
            plan = await plan_of_read(large, lambda read=read, page=page: read(page))  # type: ignore[misc]
            assert plan.scanned_whole == set(), str(plan)
            # The parents' own rows, which tell whose they are, and of each a few children.
            assert plan.rows_read <= 4 * SIZE * (few.size + 1), str(plan)
            assert plan.rows_sorted == 0, str(plan)


async def test_the_journal_entries_of_a_page(large: AsyncEngine) -> None:
    """Of a payment there are a few. The accounts, of which there are two here, may be read whole."""
    parents, page = [transaction_number(n) for n in range(10001, 10001 + SIZE)], PageRequest(size=5)
    plan = await plan_of_read(large, lambda: SqlLedgerReader(large).entries_of(parents, page, ADMIN))
    assert plan.scanned_whole <= {"ledger_accounts"}, str(plan)
    assert plan.rows_read <= 4 * SIZE * (page.size + 1), str(plan)


async def test_the_transactions_of_a_page_of_users(large: AsyncEngine) -> None:
    reader, few = SqlReader(large), PageRequest(size=5)
    users = [FREQUENT, *(user_number(n) for n in range(2, SIZE))]
    plan = await plan_of_read(large, lambda: reader.transactions_of_users(users, few, EVERYTHING))
    assert (plan.scanned_whole, plan.rows_sorted) == (set(), 0), str(plan)
    assert plan.rows_read <= SIZE * (few.size + 1), str(plan)


REFUNDS = {
    "none": RefundFilter(),
    "status": RefundFilter(statuses=frozenset({RefundStatus.FAILED})),
    "transaction": RefundFilter(transaction_id=MANIFOLD),
}


@pytest.mark.parametrize("where", REFUNDS.values(), ids=REFUNDS)
async def test_refunds(large: AsyncEngine, where: RefundFilter) -> None:
    await check(large, lambda page: SqlReader(large).refunds(EVERYTHING, where, page))


USERS = {
    "none": UserFilter(),
    "role": UserFilter(roles=frozenset({Role.ADMIN})),
    "roles": UserFilter(roles=frozenset({Role.ADMIN, Role.CUSTOMER})),
    "disabled": UserFilter(disabled=True),
    "not disabled": UserFilter(disabled=False),
    "role and disabled": UserFilter(roles=frozenset({Role.CUSTOMER}), disabled=True),
}


@pytest.mark.parametrize("where", USERS.values(), ids=USERS)
async def test_users(large: AsyncEngine, where: UserFilter) -> None:
    await check(large, lambda page: SqlIdentityReader(large).users(ADMIN, where, page))


EVENTS = {
    "none": InboxFilter(),
    "state": InboxFilter(states=frozenset({EventState.PARKED})),
    "states": InboxFilter(states=frozenset({EventState.PARKED, EventState.APPLIED})),
    "type": InboxFilter(types=frozenset({"rare"})),
    "types": InboxFilter(types=frozenset({"rare", "common"})),
    "reference": InboxFilter(reference="pi_7"),
    "received on a day": InboxFilter(received_from=BEGAN + 10 * DAY, received_to=BEGAN + 11 * DAY),
}


@pytest.mark.parametrize("where", EVENTS.values(), ids=EVENTS)
async def test_webhook_events(large: AsyncEngine, where: InboxFilter) -> None:
    await check(large, lambda page: SqlInboxReader(large, lambda body: {}).events(ADMIN, where, page))


DISCREPANCIES = {
    "none": DiscrepancyFilter(),
    "kind": DiscrepancyFilter(kinds=frozenset({DiscrepancyKind.FEE_DIFFERS})),
    "kinds": DiscrepancyFilter(kinds=frozenset({DiscrepancyKind.FEE_DIFFERS, DiscrepancyKind.AMOUNT_DIFFERS})),
    "open": DiscrepancyFilter(resolved=False),
    "resolved": DiscrepancyFilter(resolved=True),
    "transaction": DiscrepancyFilter(transaction_id=transaction_number(7)),
    "first seen on a day": DiscrepancyFilter(first_seen_from=BEGAN + 10 * DAY, first_seen_to=BEGAN + 11 * DAY),
}


@pytest.mark.parametrize("where", DISCREPANCIES.values(), ids=DISCREPANCIES)
async def test_discrepancies(large: AsyncEngine, where: DiscrepancyFilter) -> None:
    await check(large, lambda page: SqlDiscrepancyReader(large).discrepancies(ADMIN, where, page))


ATTEMPTS = {
    "none": AttemptFilter(),
    "needs attention": AttemptFilter(needs_attention=True),
    "kind": AttemptFilter(kinds=frozenset({AttemptKind.CHARGE})),
    "transaction": AttemptFilter(transaction_id=transaction_number(50)),
}


@pytest.mark.parametrize("where", ATTEMPTS.values(), ids=ATTEMPTS)
async def test_attempts(large: AsyncEngine, where: AttemptFilter) -> None:
    await check(large, lambda page: SqlAttemptReader(large).attempts(where, page, EVERYTHING))


async def test_a_table_that_is_read_whole_is_noticed(large: AsyncEngine) -> None:
    """What these tests go by: a plan without an index, and one that sorts all there is."""
    plan = await plan_of(large, "SELECT * FROM transactions ORDER BY fee, id LIMIT 50", ())
    assert plan.scanned_whole == {"transactions"}
    assert plan.rows_read >= 50000
    assert plan.rows_sorted >= 50000
