"""Lists, filters and batches against the same done by hand in memory; and nobody sees what is another's."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import EVERYTHING, Role, Scope
from domain.audit import AuditAction, AuditEntry
from domain.currencies import Currency
from domain.identity.users import User
from domain.money import Money
from domain.payments.queries import (
    ANY_TRANSACTION,
    FIRST_PAGE,
    Order,
    OrderDirection,
    OrderField,
    Page,
    PageRequest,
    Position,
    RefundFilter,
    TransactionFilter,
)
from domain.payments.refund import Refund
from domain.payments.transaction import Transaction, TransactionStatus
from persistence.reader import SqlReader
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import START, SequentialIds
from tests.support.database import empty
from tests.support.records import add_transaction, audit_entry, refund, transaction, user
from tests.support.statements import counted

T = TypeVar("T")
Id = TypeVar("Id", bound=UUID)
S = TransactionStatus

# A database that is filled once serves every example; no example changes it.
reads_only = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@dataclass(frozen=True, slots=True)
class Filled:
    """What is in the database: two customers' transactions among each other, with ties in time and amount."""

    ada: User
    bob: User
    nobody: User
    transactions: list[Transaction]
    refunds: list[Refund]
    entries: list[AuditEntry]

    def of(self, owner: User) -> list[Transaction]:
        return [one for one in self.transactions if one.user_id == owner.id]


@pytest.fixture(scope="module")
async def filled(migrated_engine: AsyncEngine) -> Filled:
    await empty(migrated_engine)
    units, ids = SqlUnitsOfWork(migrated_engine), SequentialIds()
    ada, bob, nobody = (user(ids.new(), role=role) for role in (Role.CUSTOMER, Role.CUSTOMER, Role.ADMIN))
    stored: list[Transaction] = []
    refunds: list[Refund] = []
    entries: list[AuditEntry] = []
    async with units.begin() as uow:
        for someone in (ada, bob, nobody):
            await uow.users.add(someone)
    amounts = [
        Money(1000, Currency.USD),
        Money(1000, Currency.JPY),
        Money(1000, Currency.KWD),
        Money(250, Currency.EUR),
    ]
    statuses = list(TransactionStatus)
    # Ids of uneven order: ties must be broken by id, not by the order of writing.
    for number in range(24):
        wanted = transaction(
            UUID(int=(number * 7919 % 1009) << 64 | number),
            (ada, bob)[number % 3 == 0].id,
            money=amounts[number % 4],
            status=statuses[number % len(statuses)],
            created_at=START + timedelta(minutes=number // 5),
            description=f"Order {number % 6}" if number % 2 else None,
            processor_reference=f"pi_{number}Abc",
        )
        stored.append(await add_transaction(units, wanted))
    async with units.begin() as uow:
        for number, one in enumerate(stored[:8]):
            for count in range(number):
                refunds.append(refund(ids.new(), one, created_at=START + timedelta(seconds=count // 3)))
                entries.append(audit_entry(ids.new(), one, AuditAction.REFUND_REQUESTED))
                await uow.refunds.add(refunds[-1])
                await uow.audit.append(entries[-1])
    return Filled(ada, bob, nobody, stored, refunds, entries)


@pytest.fixture
def reader(filled: Filled, migrated_engine: AsyncEngine) -> SqlReader:
    return SqlReader(migrated_engine)


def position_of(one: Transaction, order: Order) -> Position:
    return Position(one.created_at if order.field is OrderField.CREATED_AT else one.money.minor_units, one.id)


def in_order(some: Sequence[Transaction], order: Order) -> list[Transaction]:
    """Sorted by hand."""

    def key(one: Transaction) -> tuple[float, UUID]:
        value = one.created_at.timestamp() if order.field is OrderField.CREATED_AT else one.money.minor_units
        return value, one.id

    return sorted(some, key=key, reverse=order.direction is OrderDirection.DESC)


orders = st.builds(Order, st.sampled_from(OrderField), st.sampled_from(OrderDirection))
owners = st.sampled_from(["ada", "bob", "everybody"])


def seen_by(filled: Filled, owner: str) -> tuple[Scope, list[Transaction]]:
    if owner == "everybody":
        return EVERYTHING, filled.transactions
    one = filled.ada if owner == "ada" else filled.bob
    return Scope(one.id), filled.of(one)


@given(order=orders, size=st.integers(1, 26), owner=owners, backwards=st.booleans())
@reads_only
async def test_pages_add_up_to_the_whole_list(
    filled: Filled, reader: SqlReader, order: Order, size: int, owner: str, backwards: bool
) -> None:
    scope, visible = seen_by(filled, owner)
    expected = in_order(visible, order)
    found: list[Transaction] = []
    page = await reader.transactions(scope, ANY_TRANSACTION, order, PageRequest(size=size, from_end=backwards))
    while True:
        assert len(page.items) <= size
        assert list(page.positions) == [position_of(one, order) for one in page.items]
        found = [*page.items, *found] if backwards else [*found, *page.items]
        more = page.has_previous if backwards else page.has_next
        assert more is (len(found) < len(expected))
        if not more:
            break
        request = (
            PageRequest(size=size, from_end=True, before=page.positions[0])
            if backwards
            else PageRequest(size=size, after=page.positions[-1])
        )
        page = await reader.transactions(scope, ANY_TRANSACTION, order, request)
    assert found == expected
    assert await reader.count_transactions(scope, ANY_TRANSACTION) == len(expected)


@given(
    order=orders,
    owner=owners,
    size=st.integers(1, 30),
    first=st.none() | st.integers(0, 23),
    last=st.none() | st.integers(0, 23),
    from_end=st.booleans(),
)
@reads_only
async def test_any_piece_is_the_piece_cut_by_hand(
    filled: Filled, reader: SqlReader, order: Order, owner: str, size: int, first: int | None, last: int | None,
    from_end: bool,
) -> None:  # fmt: skip
    scope, visible = seen_by(filled, owner)
    everything, mine = in_order(filled.transactions, order), in_order(visible, order)
    # A cursor may stand at a row that its reader cannot see: it is a place, not a row.
    kept = [
        one
        for one in mine
        if (first is None or everything.index(one) > first) and (last is None or everything.index(one) < last)
    ]
    request = PageRequest(
        size=size,
        after=None if first is None else position_of(everything[first], order),
        before=None if last is None else position_of(everything[last], order),
        from_end=from_end,
    )
    page = await reader.transactions(scope, ANY_TRANSACTION, order, request)
    assert list(page.items) == (kept[-size:] if from_end else kept[:size])
    if from_end:
        assert page.has_previous is (len(kept) > size)
    else:
        assert page.has_next is (len(kept) > size)


FILTERS: list[tuple[TransactionFilter, Callable[[Transaction], bool]]] = [
    (TransactionFilter(statuses=frozenset({S.FAILED, S.REFUNDED})), lambda t: t.status in {S.FAILED, S.REFUNDED}),
    (TransactionFilter(statuses=frozenset()), lambda t: False),
    (TransactionFilter(currencies=frozenset({Currency.JPY})), lambda t: t.money.currency is Currency.JPY),
    (
        TransactionFilter(created_from=START + timedelta(minutes=2)),
        lambda t: t.created_at >= START + timedelta(minutes=2),
    ),
    (TransactionFilter(created_to=START + timedelta(minutes=2)), lambda t: t.created_at < START + timedelta(minutes=2)),
    (TransactionFilter(amount_min=Decimal("2.5")), lambda t: t.money.amount >= Decimal("2.5")),
    (TransactionFilter(amount_min=Decimal("2.5001")), lambda t: t.money.amount > Decimal("2.5")),
    (TransactionFilter(amount_max=Decimal(10)), lambda t: t.money.amount <= 10),
    (TransactionFilter(amount_max=Decimal("9.9999")), lambda t: t.money.amount < 10),
    (
        TransactionFilter(amount_min=Decimal(1), amount_max=Decimal("2.5")),
        lambda t: 1 <= t.money.amount <= Decimal("2.5"),
    ),
    (TransactionFilter(amount_min=Decimal("1E+999999")), lambda t: False),
    (TransactionFilter(amount_min=Decimal("-1E+999999")), lambda t: True),
    (TransactionFilter(amount_max=Decimal("Infinity")), lambda t: True),
    (TransactionFilter(amount_max=Decimal("1E-999999")), lambda t: False),
    (TransactionFilter(text="order"), lambda t: t.description is not None),
    (TransactionFilter(text="ORD 3"), lambda t: t.description == "Order 3"),
    (TransactionFilter(text="3 order"), lambda t: t.description == "Order 3"),
    (TransactionFilter(text="pi_3Abc"), lambda t: t.processor_reference == "pi_3Abc"),
    (TransactionFilter(text="pi_3A"), lambda t: t.processor_reference == "pi_3Abc"),
    (TransactionFilter(text="order pi_3Abc"), lambda t: t.processor_reference == "pi_3Abc"),
    (TransactionFilter(text="rder"), lambda t: False),
    (TransactionFilter(text=""), lambda t: False),
    (
        TransactionFilter(statuses=frozenset({S.REQUIRES_ACTION}), currencies=frozenset({Currency.JPY}), text="order"),
        lambda t: t.status is S.REQUIRES_ACTION and t.money.currency is Currency.JPY and t.description is not None,
    ),
]


ORDERS = [Order(field, direction) for field in OrderField for direction in OrderDirection]


@pytest.mark.parametrize(("where", "holds"), FILTERS, ids=[str(number) for number in range(len(FILTERS))])
async def test_a_filter_keeps_what_it_names(
    filled: Filled, reader: SqlReader, where: TransactionFilter, holds: Callable[[Transaction], bool]
) -> None:
    for scope, visible in (seen_by(filled, owner) for owner in ("ada", "bob", "everybody")):
        expected = [one for one in visible if holds(one)]
        for order in ORDERS:
            page = await reader.transactions(scope, where, order, PageRequest(size=100))
            assert list(page.items) == in_order(expected, order)
        assert await reader.count_transactions(scope, where) == len(expected)


SOMETHING = {
    "statuses": st.frozensets(st.sampled_from(S)),
    "currencies": st.frozensets(
        st.sampled_from([Currency.USD, Currency.JPY, Currency.KWD, Currency.EUR, Currency.GBP])
    ),
    "created_from": st.integers(0, 5).map(lambda minutes: START + timedelta(minutes=minutes)),
    "created_to": st.integers(0, 5).map(lambda minutes: START + timedelta(minutes=minutes)),
    "amount_min": st.sampled_from([Decimal(1), Decimal("2.5"), Decimal(10), Decimal(1000)]),
    "amount_max": st.sampled_from([Decimal(1), Decimal("2.5"), Decimal(10), Decimal(1000)]),
    "text": st.sampled_from(["order", "order 3", "pi_3A", ""]),
    "needs_attention": st.booleans(),
}


@given(
    where=st.fixed_dictionaries({}, optional=SOMETHING),
    order=orders,
    owner=owners,
    size=st.integers(1, 5),
    from_end=st.booleans(),
)
@reads_only
async def test_filters_together_keep_what_each_of_them_keeps(
    filled: Filled, reader: SqlReader, where: dict[str, Any], order: Order, owner: str, size: int, from_end: bool
) -> None:
    scope, visible = seen_by(filled, owner)
    kept = {one.id for one in visible}
    for name, value in where.items():
        alone = await reader.transactions(scope, TransactionFilter(**{name: value}), Order(), PageRequest(size=100))
        kept &= {one.id for one in alone.items}
    expected = in_order([one for one in visible if one.id in kept], order)
    whole = TransactionFilter(**where)
    page = await reader.transactions(scope, whole, order, PageRequest(size=size, from_end=from_end))
    assert list(page.items) == (expected[-size:] if from_end else expected[:size])
    if len(expected) > size and page.items:
        following = (
            PageRequest(size=size, from_end=True, before=page.positions[0])
            if from_end
            else PageRequest(size=size, after=page.positions[-1])
        )
        page = await reader.transactions(scope, whole, order, following)
        assert list(page.items) == (expected[-2 * size : -size] if from_end else expected[size : 2 * size])
    assert await reader.count_transactions(scope, whole) == len(expected)


@pytest.mark.parametrize("far", [2**63, -(2**63) - 1, 10**40])
async def test_a_cursor_beyond_every_amount_is_no_error(filled: Filled, reader: SqlReader, far: int) -> None:
    for direction in OrderDirection:
        order = Order(OrderField.AMOUNT, direction)
        page = await reader.transactions(
            EVERYTHING, ANY_TRANSACTION, order, PageRequest(size=100, after=Position(far, UUID(int=0)))
        )
        everything = (far < 0) is (direction is OrderDirection.ASC)
        assert len(page.items) == (len(filled.transactions) if everything else 0)


async def test_a_filter_by_user_shows_a_customer_nothing_of_others(filled: Filled, reader: SqlReader) -> None:
    where = TransactionFilter(user_id=filled.bob.id)
    page = await reader.transactions(EVERYTHING, where, Order(), PageRequest(size=100))
    assert list(page.items) == in_order(filled.of(filled.bob), Order())
    assert (await reader.transactions(Scope(filled.ada.id), where, Order(), FIRST_PAGE)).items == []


NO_WORDS = [
    "", " ", "'", "''", "\\", "\\'", "':*", ":*", "&", "!", "|", "<->", "()", "%", "--", "...", "-", "@",
    "\x00", "\ud800", "\u200b", "😀", "&&&", "' & '", "!(", "*",
]  # fmt: skip
# What stands around words does not matter.
SAME_WORDS = [
    ("!order", "order"), ("order:*", "order"), ("'order':*", "order"), ("order)", "order"), ("order \ud800", "order"),
    ("order\x00 3", "order 3"), ("order & 3", "order 3"), ("order | 3", "order 3"), ("3 <-> order", "order 3"),
    ("order' & '3", "order 3"), ("order; --", "order"), ("\\order\\", "order"), ("order ...", "order"), ("$3", "3"),
    ("order " * 2000, "order"), ("ORDER", "order"),
]  # fmt: skip


async def found_by(reader: SqlReader, text: str) -> list[Transaction]:
    page = await reader.transactions(EVERYTHING, TransactionFilter(text=text), Order(), PageRequest(size=100))
    return list(page.items)


@pytest.mark.parametrize("text", NO_WORDS, ids=[str(number) for number in range(len(NO_WORDS))])
async def test_a_text_without_words_finds_nothing(filled: Filled, reader: SqlReader, text: str) -> None:
    assert await found_by(reader, text) == []


@pytest.mark.parametrize(("text", "words"), SAME_WORDS, ids=[str(number) for number in range(len(SAME_WORDS))])
async def test_no_text_is_taken_for_more_than_words(filled: Filled, reader: SqlReader, text: str, words: str) -> None:
    expected = await found_by(reader, words)
    assert expected != []
    assert await found_by(reader, text) == expected


@given(text=st.text(max_size=30))
@reads_only
async def test_any_text_can_be_searched_for(filled: Filled, reader: SqlReader, text: str) -> None:
    assert await reader.count_transactions(EVERYTHING, TransactionFilter(text=text)) <= len(filled.transactions)


async def test_one_customer_never_sees_what_is_anothers(filled: Filled, reader: SqlReader) -> None:
    ids = [one.id for one in filled.transactions]
    for owner, scope in ((filled.ada, Scope(filled.ada.id)), (filled.nobody, Scope(filled.nobody.id))):
        own = {one.id for one in filled.of(owner)}
        refunds = {one.id for one in filled.refunds if one.transaction_id in own}
        entries = {one.id for one in filled.entries if one.transaction_id in own}
        everyone = [filled.ada.id, filled.bob.id, filled.nobody.id]
        whole = PageRequest(size=100)
        assert set(await reader.transactions_by_ids(ids, scope)) == own
        assert {one.id for one in (await reader.transactions(scope, ANY_TRANSACTION, Order(), whole)).items} == own
        assert await reader.count_transactions(scope, ANY_TRANSACTION) == len(own)
        assert set(await reader.users_by_ids(everyone, scope)) == {owner.id}
        assert set(await reader.refunds_by_ids([one.id for one in filled.refunds], scope)) == refunds
        assert {one.id for one in (await reader.refunds(scope, RefundFilter(), whole)).items} == refunds
        assert await reader.count_refunds(scope, RefundFilter()) == len(refunds)
        assert set(await reader.audit_entries_by_ids([one.id for one in filled.entries], scope)) == entries
        assert {one.id for one in children(await reader.refunds_of(ids, whole, scope))} == refunds
        assert {one.id for one in children(await reader.audit_log_of(ids, whole, scope))} == entries
        assert {one.id for one in children(await reader.transactions_of_users(everyone, whole, scope))} == own
        assert set(await reader.count_refunds_of(ids, scope)) <= own
        assert sum((await reader.count_refunds_of(ids, scope)).values()) == len(refunds)
        assert sum((await reader.count_audit_log_of(ids, scope)).values()) == len(entries)
        assert set(await reader.count_transactions_of_users(everyone, scope)) <= {owner.id}


def children(pages: Mapping[Id, Page[T]]) -> list[T]:
    return [item for page in pages.values() for item in page.items]


async def test_staff_see_everything_by_id(filled: Filled, reader: SqlReader) -> None:
    by_id = {one.id: one for one in filled.transactions}
    assert await reader.transactions_by_ids(list(by_id), EVERYTHING) == by_id
    assert await reader.refunds_by_ids([one.id for one in filled.refunds], EVERYTHING) == {
        one.id: one for one in filled.refunds
    }
    assert await reader.audit_entries_by_ids([one.id for one in filled.entries], EVERYTHING) == {
        one.id: one for one in filled.entries
    }
    everyone = [filled.ada, filled.bob, filled.nobody]
    assert await reader.users_by_ids([one.id for one in everyone], EVERYTHING) == {one.id: one for one in everyone}


@given(
    size=st.integers(1, 10),
    first=st.none() | st.integers(0, 27),
    last=st.none() | st.integers(0, 27),
    from_end=st.booleans(),
)
@reads_only
async def test_a_batch_cuts_the_same_piece_of_each_parent(
    filled: Filled, reader: SqlReader, size: int, first: int | None, last: int | None, from_end: bool
) -> None:
    def place(of: int | None) -> Position | None:
        return None if of is None else Position(filled.refunds[of].created_at, filled.refunds[of].id)

    def key(one: Refund) -> tuple[datetime, UUID]:
        return one.created_at, one.id

    request = PageRequest(size=size, after=place(first), before=place(last), from_end=from_end)
    ids = [one.id for one in filled.transactions]
    pages = await reader.refunds_of([*ids, *ids], request, EVERYTHING)
    assert list(pages) == ids
    for one in filled.transactions:
        kept = [
            given_back
            for given_back in sorted((r for r in filled.refunds if r.transaction_id == one.id), key=key)
            if (first is None or key(given_back) > key(filled.refunds[first]))
            and (last is None or key(given_back) < key(filled.refunds[last]))
        ]
        assert list(pages[one.id].items) == (kept[-size:] if from_end else kept[:size])
        assert [place.id for place in pages[one.id].positions] == [kept_one.id for kept_one in pages[one.id].items]
        more = pages[one.id].has_previous if from_end else pages[one.id].has_next
        assert more is (len(kept) > size)


async def test_the_audit_log_is_in_the_order_of_writing(filled: Filled, reader: SqlReader) -> None:
    one = filled.transactions[7]
    written = [entry for entry in filled.entries if entry.transaction_id == one.id]
    found: list[AuditEntry] = []
    request = PageRequest(size=2)
    while True:
        page = (await reader.audit_log_of([one.id], request, EVERYTHING))[one.id]
        found += page.items
        if not page.has_next:
            break
        request = PageRequest(size=2, after=page.positions[-1])
    assert found == written
    last = (await reader.audit_log_of([one.id], PageRequest(size=3, from_end=True), EVERYTHING))[one.id]
    assert list(last.items) == written[-3:]


async def test_users_transactions_come_newest_first(filled: Filled, reader: SqlReader) -> None:
    pages = await reader.transactions_of_users([filled.bob.id, filled.ada.id], PageRequest(size=5), EVERYTHING)
    for one in (filled.ada, filled.bob):
        assert list(pages[one.id].items) == in_order(filled.of(one), Order())[:5]
    counts = await reader.count_transactions_of_users([filled.bob.id, filled.ada.id, filled.nobody.id], EVERYTHING)
    assert counts == {filled.ada.id: len(filled.of(filled.ada)), filled.bob.id: len(filled.of(filled.bob))}


async def test_every_batch_is_one_statement_however_many_parents(
    filled: Filled, reader: SqlReader, migrated_engine: AsyncEngine
) -> None:
    ids = [one.id for one in filled.transactions]
    everyone = [filled.ada.id, filled.bob.id, filled.nobody.id]
    reads: list[Callable[[Scope], Awaitable[object]]] = [
        lambda scope: reader.refunds_of(ids, FIRST_PAGE, scope),
        lambda scope: reader.audit_log_of(ids, FIRST_PAGE, scope),
        lambda scope: reader.transactions_of_users(everyone, FIRST_PAGE, scope),
        lambda scope: reader.count_refunds_of(ids, scope),
        lambda scope: reader.count_audit_log_of(ids, scope),
        lambda scope: reader.count_transactions_of_users(everyone, scope),
        lambda scope: reader.transactions_by_ids(ids, scope),
        lambda scope: reader.users_by_ids(everyone, scope),
        lambda scope: reader.refunds_by_ids([one.id for one in filled.refunds], scope),
        lambda scope: reader.audit_entries_by_ids([one.id for one in filled.entries], scope),
        lambda scope: reader.transactions(scope, ANY_TRANSACTION, Order(), FIRST_PAGE),
        lambda scope: reader.count_transactions(scope, ANY_TRANSACTION),
    ]
    for read in reads:
        for scope in (EVERYTHING, Scope(filled.ada.id)):
            with counted(migrated_engine) as seen:
                await read(scope)
            assert len(seen) == 1, seen


async def test_nothing_asked_is_nothing_found(filled: Filled, reader: SqlReader) -> None:
    assert await reader.transactions_by_ids([], EVERYTHING) == {}
    assert await reader.refunds_of([], FIRST_PAGE, EVERYTHING) == {}
    assert await reader.count_audit_log_of([], EVERYTHING) == {}
