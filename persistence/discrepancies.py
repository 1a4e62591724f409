"""Discrepancies in PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.access import Actor, Capability
from domain.currencies import Currency
from domain.ids import DiscrepancyId, ReconciliationRunId, TransactionId, UserId
from domain.money import Money
from domain.payments.queries import Page, PageRequest
from domain.reconciliation.discrepancies import (
    Difference,
    Discrepancy,
    DiscrepancyFilter,
    DiscrepancyKind,
    OpenDiscrepancies,
    Resolution,
    Subject,
    SubjectKind,
)
from persistence.batched_reader import BatchedReader, Selection, seen_with
from persistence.connection import Connection
from persistence.paging import Keyset
from persistence.rows import Row
from persistence.statements import Values
from persistence.tables import discrepancies, reconciliation_findings

_C = discrepancies.c
_LATEST_FIRST = Keyset(_C.first_seen_at, _C.id, descending=True)
_OPEN = _C.resolved_at.is_(None)


class SqlDiscrepancies:
    """The repository behind `domain.reconciliation.discrepancies.DiscrepancyRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def record(self, new_id: DiscrepancyId, difference: Difference, seen_at: datetime) -> DiscrepancyId:
        known = await self._resolved_already(difference, seen_at)
        if known is not None:
            return known
        said = _said(difference)
        statement = (
            upsert(discrepancies)
            .values(
                id=new_id,
                kind=difference.kind.value,
                subject_kind=difference.subject.kind.value,
                reference=difference.subject.reference,
                first_seen_at=seen_at,
                last_seen_at=seen_at,
                **said,
            )
            .on_conflict_do_update(
                index_elements=["kind", "subject_kind", "reference"],
                index_where=text("resolved_at IS NULL"),
                set_={**said, "last_seen_at": func.greatest(_C.last_seen_at, seen_at)},
            )
            .returning(_C.id)
        )
        (row,) = await self._connection.fetch(statement)
        return DiscrepancyId(row["id"])

    async def _resolved_already(self, difference: Difference, seen_at: datetime) -> DiscrepancyId | None:
        same = [_C[name].is_not_distinct_from(value) for name, value in _said(difference).items()]
        settled = and_(_C.resolution == Resolution.BY_PERSON.value, *same)
        statement = (
            update(discrepancies)
            .where(
                _of(difference.subject),
                _C.kind == difference.kind.value,
                ~_OPEN,
                or_(settled, _C.resolved_at > seen_at),
            )
            .values(last_seen_at=func.greatest(_C.last_seen_at, seen_at))
            .returning(_C.id)
        )
        for row in await self._connection.fetch(statement):
            return DiscrepancyId(row["id"])
        return None

    async def resolve_others(
        self,
        subject: Subject,
        seen: Collection[DiscrepancyKind],
        how: Resolution,
        now: datetime,
        *,
        own: Collection[DiscrepancyId] = (),
    ) -> int:
        taken_for_gone = and_(_C.id.in_(own), _C.resolution == Resolution.NO_LONGER_SEEN.value)
        statement = (
            update(discrepancies)
            .where(_of(subject), or_(_OPEN, taken_for_gone), _C.kind.not_in(sorted(seen)))
            .values(resolved_at=now, resolution=how.value)
        )
        return await self._connection.execute(statement)

    async def get(self, discrepancy_id: DiscrepancyId) -> Discrepancy | None:
        return await self._one(select(discrepancies).where(_C.id == discrepancy_id))

    async def lock(self, discrepancy_id: DiscrepancyId) -> Discrepancy | None:
        return await self._one(select(discrepancies).where(_C.id == discrepancy_id).with_for_update())

    async def resolve_by_person(
        self, discrepancy_id: DiscrepancyId, resolved_by: UserId, reason: str, now: datetime
    ) -> None:
        await self._connection.execute(
            update(discrepancies)
            .where(_C.id == discrepancy_id, _OPEN)
            .values(resolved_at=now, resolution=Resolution.BY_PERSON.value, resolved_by=resolved_by, reason=reason)
        )

    async def open_subjects(self, seen_before: datetime, limit: int) -> list[Subject]:
        statement = (
            select(_C.subject_kind, _C.reference)
            .where(_OPEN, _C.last_seen_at < seen_before)
            .order_by(_C.last_seen_at)
            .limit(limit)
        )
        rows = await self._connection.fetch(statement)
        return list(dict.fromkeys(Subject(SubjectKind(row["subject_kind"]), row["reference"]) for row in rows))

    async def count_open(self) -> OpenDiscrepancies:
        statement = select(func.count().label("number"), func.min(_C.first_seen_at).label("oldest")).where(_OPEN)
        (row,) = await self._connection.fetch(statement)
        return OpenDiscrepancies(number=row["number"], oldest_first_seen_at=row["oldest"])

    async def attach(self, run_id: ReconciliationRunId, discrepancy_ids: Collection[DiscrepancyId]) -> None:
        statement = upsert(reconciliation_findings).values(
            [{"run_id": run_id, "discrepancy_id": each} for each in sorted(discrepancy_ids)]
        )
        await self._connection.execute(statement.on_conflict_do_nothing())

    async def found_by(self, run_id: ReconciliationRunId) -> list[Discrepancy]:
        statement = (
            select(*_C)
            .join(reconciliation_findings, reconciliation_findings.c.discrepancy_id == _C.id)
            .where(reconciliation_findings.c.run_id == run_id)
            .order_by(_C.first_seen_at, _C.id)
        )
        return [_discrepancy_of(row) for row in await self._connection.fetch(statement)]

    async def _one(self, statement: Select[*tuple[Any, ...]]) -> Discrepancy | None:  # Any: of any columns
        row = await self._connection.fetch_one(statement)
        return None if row is None else _discrepancy_of(row)


_DISCREPANCIES = Selection(
    discrepancies,
    tuple(_C),
    _C.id,
    {
        "open": _OPEN,
        "resolved": ~_OPEN,
        "transaction_id": _C.transaction_id == bindparam("transaction_id"),
        "first_seen_from": _C.first_seen_at >= bindparam("first_seen_from"),
        "first_seen_to": _C.first_seen_at < bindparam("first_seen_to"),
    },
    {"kinds": _C.kind},
)


class SqlDiscrepancyReader(BatchedReader):
    """The reads behind `domain.reconciliation.discrepancies.DiscrepancyReader`."""

    async def discrepancies_by_ids(
        self, ids: Sequence[DiscrepancyId], actor: Actor
    ) -> dict[DiscrepancyId, Discrepancy]:
        return await self._by_ids(
            ids, _DISCREPANCIES, seen_with(Capability.RECONCILIATION_READ, actor), _discrepancy_of
        )

    async def discrepancies(self, actor: Actor, where: DiscrepancyFilter, page: PageRequest) -> Page[Discrepancy]:
        by_kind = where.kinds is not None and where.resolved is not False and where.transaction_id is None
        values, piecewise = _values_of(actor, where), "kinds" if by_kind else None
        return await self._page(_DISCREPANCIES, values, _LATEST_FIRST, page, _discrepancy_of, piecewise=piecewise)

    async def count_discrepancies(self, actor: Actor, where: DiscrepancyFilter) -> int:
        return await self._count(_DISCREPANCIES, _values_of(actor, where))


def _values_of(actor: Actor, where: DiscrepancyFilter) -> Values:
    values: dict[str, object] = dict(seen_with(Capability.RECONCILIATION_READ, actor))
    if where.kinds is not None:
        values["kinds"] = sorted(where.kinds)
    if where.resolved is not None:
        values["resolved" if where.resolved else "open"] = True
    if where.transaction_id is not None:
        values["transaction_id"] = where.transaction_id
    if where.first_seen_from is not None:
        values["first_seen_from"] = where.first_seen_from
    if where.first_seen_to is not None:
        values["first_seen_to"] = where.first_seen_to
    return values


def _of(subject: Subject) -> ColumnElement[bool]:
    return and_(_C.subject_kind == subject.kind.value, _C.reference == subject.reference)


def _said(difference: Difference) -> dict[str, object]:
    """What both sides say, as columns."""
    processor, ours = difference.processor, difference.ours
    return {
        "transaction_id": difference.transaction_id,
        "processor_amount": None if processor is None else processor.minor_units,
        "processor_currency": None if processor is None else processor.currency.value,
        "our_amount": None if ours is None else ours.minor_units,
        "our_currency": None if ours is None else ours.currency.value,
        "summary": difference.summary,
    }


def _discrepancy_of(row: Row) -> Discrepancy:
    return Discrepancy(
        id=DiscrepancyId(row["id"]),
        difference=Difference(
            kind=DiscrepancyKind(row["kind"]),
            subject=Subject(SubjectKind(row["subject_kind"]), row["reference"]),
            transaction_id=None if row["transaction_id"] is None else TransactionId(row["transaction_id"]),
            processor=_money_of(row, "processor"),
            ours=_money_of(row, "our"),
            summary=row["summary"],
        ),
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        resolved_at=row["resolved_at"],
        resolution=None if row["resolution"] is None else Resolution(row["resolution"]),
        resolved_by=None if row["resolved_by"] is None else UserId(row["resolved_by"]),
        reason=row["reason"],
    )


def _money_of(row: Row, side: str) -> Money | None:
    amount = row[f"{side}_amount"]
    return None if amount is None else Money(amount, Currency(row[f"{side}_currency"]))
