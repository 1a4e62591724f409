"""The audit chains, read for whoever verifies them."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import RowMapping, Text, cast, extract, func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.audit_chain import ChainedEntry, Head, Link
from persistence.engine import autocommitting
from persistence.tables import audit_entries, audit_heads, audit_links

_LINKS_AT_A_TIME = 2000

_ENTRY = [
    *(column for column in audit_entries.c if column.name not in {"at", "details"}),
    cast(func.trunc(extract("epoch", audit_entries.c.at) * 1_000_000), Text).label("at"),
    cast(audit_entries.c.details, Text).label("details"),
]


class SqlAuditChains:
    """What stands behind `domain.audit_chain.AuditChains`.

    Links are read in pages, each a statement of its own: one long read would keep the database from cleaning up after the
    rows of the heads, which every unit of work updates.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def heads(self) -> Sequence[tuple[Head, int]]:
        h, links = audit_heads.c, audit_links.c
        last = select(func.max(links.position)).where(links.chain == h.chain).scalar_subquery()
        statement = select(h.chain, h.length, h.hash, func.coalesce(last, 0).label("last")).order_by(h.chain)
        async with autocommitting(self._engine) as connection:
            rows = (await connection.execute(statement)).all()
        return [(Head(row.chain, row.length, row.hash), row.last) for row in rows]

    async def links(self, head: Head) -> AsyncIterator[Link]:
        c, after = audit_links.c, 0
        statement = (
            select(c.chain, c.position, c.entry_id, c.hash, *_ENTRY)
            .select_from(audit_links.outerjoin(audit_entries, audit_entries.c.id == c.entry_id))
            .order_by(c.position)
            .limit(_LINKS_AT_A_TIME)
        )
        while True:
            page = statement.where(c.chain == head.chain, c.position > after, c.position <= head.length)
            async with autocommitting(self._engine) as connection:
                rows = (await connection.execute(page)).mappings().all()
            for row in rows:
                yield Link(
                    chain=row["chain"],
                    position=row["position"],
                    entry_id=row["entry_id"],
                    hash=row["hash"],
                    entry=None if row["id"] is None else _entry_of(row),
                )
            if len(rows) < _LINKS_AT_A_TIME:
                return
            after = rows[-1]["position"]

    async def unlinked(self) -> ChainedEntry | None:
        linked = select(literal(1)).where(audit_links.c.entry_id == audit_entries.c.id).exists()
        statement = select(*_ENTRY).where(~linked).order_by(audit_entries.c.number).limit(1)
        async with autocommitting(self._engine) as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return None if row is None else _entry_of(row)


def _entry_of(row: RowMapping) -> ChainedEntry:
    return ChainedEntry(
        id=row["id"],
        number=row["number"],
        transaction_id=row["transaction_id"],
        action=row["action"],
        actor_kind=row["actor_kind"],
        actor_id=row["actor_id"],
        at=row["at"],
        details=row["details"],
    )
