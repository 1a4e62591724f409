"""API keys: what a program shows instead of an access token. Each acts for its owner, and can do no more than they can."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.access import Actor, Capability, Role
from domain.identity.key_text import KeyDigest
from domain.ids import ApiKeyId, UserId
from domain.payments.queries import Page, PageRequest

NAME_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as stored: never the key itself, only its `prefix`, by which people tell keys apart.

    It never expires where `expires_at` is None. `last_used_at` is right to the minute.
    """

    id: ApiKeyId
    owner_id: UserId
    name: str
    prefix: str
    scopes: frozenset[Capability]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who acts by a key that holds. `use_is_stale` tells that its last use was noted down over a minute ago, or never."""

    id: ApiKeyId
    owner_id: UserId
    role: Role
    scopes: frozenset[Capability]
    use_is_stale: bool


class KeyDirectory(Protocol):
    """Where a request's key is looked up, in one statement and each time, so that whatever changes counts at once."""

    async def holder_of(self, digest: KeyDigest) -> KeyHolder | None:
        """Who acts by the key; None where there is none, and where it was revoked, has expired, or its owner may not come in.

        Raises domain.errors.Unavailable.
        """
        ...

    def note_use(self, key_id: ApiKeyId) -> None:
        """Note down that the key is used now. It returns at once; what cannot be written is left out."""
        ...


class ApiKeyRepository(Protocol):
    """API keys in a unit of work."""

    async def add(self, key: ApiKey, digest: KeyDigest) -> None: ...

    async def lock(self, key_id: ApiKeyId) -> ApiKey | None: ...

    async def revoke(self, key_id: ApiKeyId, at: datetime) -> None: ...


class ApiKeyReader(Protocol):
    """Reads of API keys, for whoever may manage them: to anybody else there are none."""

    async def keys_by_ids(self, ids: Sequence[ApiKeyId], actor: Actor) -> dict[ApiKeyId, ApiKey]: ...

    async def keys(self, actor: Actor, page: PageRequest) -> Page[ApiKey]:
        """A page of all keys, the latest first."""
        ...

    async def count_keys(self, actor: Actor) -> int: ...
