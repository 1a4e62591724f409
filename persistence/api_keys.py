"""API keys in PostgreSQL: how they are kept, listed, and looked up for each request."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Actor, Capability, Role
from domain.errors import Unavailable
from domain.identity.api_keys import ApiKey, KeyHolder
from domain.identity.key_text import KeyDigest
from domain.ids import ApiKeyId, UserId
from domain.joined_lookups import JoinedLookups
from domain.payments.queries import Page, PageRequest
from persistence.batched_reader import BatchedReader, Selection, any_of, seen_with
from persistence.connection import Connection
from persistence.engine import autocommitting, fetch
from persistence.paging import Keyset
from persistence.rows import Row
from persistence.statements import compiled
from persistence.tables import api_keys, users

log = structlog.get_logger(__name__)

_C = api_keys.c
_COLUMNS = tuple(column for column in _C if column.name != "digest")
_LATEST_FIRST = Keyset(_C.created_at, _C.id, descending=True)
_USE_NOTED_EACH = timedelta(minutes=1)
_SCOPES = {capability.value: capability for capability in Capability}
_KEYS = Selection(api_keys, _COLUMNS, _C.id, {})
_NOW = func.clock_timestamp()
# Asked with every request by a key.
_HOLDERS = compiled(
    select(
        _C.digest,
        _C.id,
        _C.owner_id,
        _C.scopes,
        users.c.role,
        func.coalesce(_C.last_used_at < _NOW - _USE_NOTED_EACH, true()).label("use_is_stale"),
    )
    .join(users, users.c.id == _C.owner_id)
    .where(
        any_of(_C.digest, "digests"),
        _C.revoked_at.is_(None),
        or_(_C.expires_at.is_(None), _C.expires_at > _NOW),
        users.c.disabled_at.is_(None),
    )
)


class SqlApiKeys:
    """The repository behind `domain.identity.api_keys.ApiKeyRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, key: ApiKey, digest: KeyDigest) -> None:
        await self._connection.execute(
            insert(api_keys).values(
                id=key.id,
                owner_id=key.owner_id,
                name=key.name,
                digest=digest,
                prefix=key.prefix,
                scopes=sorted(key.scopes),
                created_at=key.created_at,
                expires_at=key.expires_at,
            )
        )

    async def lock(self, key_id: ApiKeyId) -> ApiKey | None:
        statement = select(*_COLUMNS).where(_C.id == key_id).with_for_update()
        row = await self._connection.fetch_one(statement)
        return None if row is None else _key_of(row)

    async def revoke(self, key_id: ApiKeyId, at: datetime) -> None:
        await self._connection.execute(update(api_keys).where(_C.id == key_id).values(revoked_at=at))


class SqlApiKeyReader(BatchedReader):
    """The reads behind `domain.identity.api_keys.ApiKeyReader`."""

    async def keys_by_ids(self, ids: Sequence[ApiKeyId], actor: Actor) -> dict[ApiKeyId, ApiKey]:
        return await self._by_ids(ids, _KEYS, seen_with(Capability.KEYS_MANAGE, actor), _key_of)

    async def keys(self, actor: Actor, page: PageRequest) -> Page[ApiKey]:
        return await self._page(_KEYS, seen_with(Capability.KEYS_MANAGE, actor), _LATEST_FIRST, page, _key_of)

    async def count_keys(self, actor: Actor) -> int:
        return await self._count(_KEYS, seen_with(Capability.KEYS_MANAGE, actor))


async def keys_in_use(engine: AsyncEngine) -> list[tuple[ApiKey, str]]:
    """Every key that is not revoked with its owner's address, the oldest first, for whoever runs the server."""
    statement = (
        select(*_COLUMNS, users.c.email)
        .join(users, users.c.id == _C.owner_id)
        .where(_C.revoked_at.is_(None))
        .order_by(_C.created_at, _C.id)
    )
    async with autocommitting(engine) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [(_key_of(row), row["email"]) for row in rows]


class SqlKeyDirectory:
    """The port `domain.identity.api_keys.KeyDirectory`. Expiry goes by the database's clock, as leases do."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._noting: dict[ApiKeyId, asyncio.Task[None]] = {}
        self._holders = JoinedLookups[KeyDigest, KeyHolder](self._holders_of)

    async def holder_of(self, digest: KeyDigest) -> KeyHolder | None:
        return await self._holders.find(digest)

    async def _holders_of(self, digests: Sequence[KeyDigest]) -> dict[KeyDigest, KeyHolder]:
        return {
            KeyDigest(row["digest"]): KeyHolder(
                id=ApiKeyId(row["id"]),
                owner_id=UserId(row["owner_id"]),
                role=Role(row["role"]),
                scopes=_scopes_of(row),
                use_is_stale=row["use_is_stale"],
            )
            for row in await fetch(self._engine, _HOLDERS, {"digests": digests})
        }

    def note_use(self, key_id: ApiKeyId) -> None:
        # Of many requests that come at once the first one notes it down.
        if key_id not in self._noting:
            task = self._noting[key_id] = asyncio.create_task(self._note_use(key_id))
            task.add_done_callback(lambda _: self._noting.pop(key_id, None))

    async def close(self) -> None:
        """Let what is being written be written."""
        await asyncio.gather(*self._noting.values())

    async def _note_use(self, key_id: ApiKeyId) -> None:
        due = or_(_C.last_used_at.is_(None), _C.last_used_at < _NOW - _USE_NOTED_EACH)
        statement = update(api_keys).where(_C.id == key_id, due).values(last_used_at=_NOW)
        try:
            async with autocommitting(self._engine) as connection:
                await connection.execute(statement)
        except Unavailable:
            # The next request by this key tries again.
            log.warning("api_key.use_not_noted", api_key_id=str(key_id))


def _key_of(row: Row) -> ApiKey:
    return ApiKey(
        id=ApiKeyId(row["id"]),
        owner_id=UserId(row["owner_id"]),
        name=row["name"],
        prefix=row["prefix"],
        scopes=_scopes_of(row),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


def _scopes_of(row: Row) -> frozenset[Capability]:
    """The key's scopes; one that a newer or older version knows, and this one does not, allows nothing here."""
    return frozenset(_SCOPES[name] for name in row["scopes"] if name in _SCOPES)
