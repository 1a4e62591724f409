"""Trusted documents in PostgreSQL."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Capability
from domain.trusted_documents import DocumentDigest, TrustedDocument
from persistence.engine import fetch, reachable
from persistence.statements import compiled
from persistence.tables import trusted_documents

_C = trusted_documents.c
_KNOWN = {capability.value for capability in Capability}
_FIND = compiled(select(_C.name, _C.text, _C.capabilities, _C.cost_max).where(_C.digest == bindparam("digest")))


class SqlTrustedDocuments:
    """The port `domain.trusted_documents.TrustedDocuments`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, digest: DocumentDigest) -> TrustedDocument | None:
        for row in await fetch(self._engine, _FIND, {"digest": digest}):
            return TrustedDocument(
                digest=digest,
                name=row["name"],
                text=row["text"],
                # One that this version does not know allows nothing here.
                capabilities=None
                if row["capabilities"] is None
                else frozenset(Capability(each) for each in row["capabilities"] if each in _KNOWN),
                cost_max=row["cost_max"],
            )
        return None


class SqlDocumentRegister:
    """The port `domain.trusted_documents.DocumentRegister`, for the role that owns the tables."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def register(self, documents: Collection[TrustedDocument], *, remove_others: bool) -> tuple[int, int]:
        changed = removed = 0
        async with reachable(), self._engine.begin() as connection:
            for document in documents:
                new = insert(trusted_documents).values(
                    digest=document.digest,
                    name=document.name,
                    text=document.text,
                    capabilities=None if document.capabilities is None else sorted(document.capabilities),
                    cost_max=document.cost_max,
                    registered_at=func.clock_timestamp(),
                )
                names = ("name", "capabilities", "cost_max")
                # Any registered before stays as it is, with its time, unless something about it is new.
                differs: ColumnElement[bool] = tuple_(*(_C[name] for name in names)).is_distinct_from(
                    tuple_(*(new.excluded[name] for name in names))
                )
                statement = new.on_conflict_do_update(
                    index_elements=[_C.digest],
                    set_={name: new.excluded[name] for name in (*names, "registered_at")},
                    where=differs,
                )
                changed += (await connection.execute(statement)).rowcount
            if remove_others:
                others = delete(trusted_documents).where(_C.digest.not_in([each.digest for each in documents]))
                removed = (await connection.execute(others)).rowcount
        return changed, removed
