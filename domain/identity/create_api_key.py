"""Create an API key, and show it once."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from domain.access import FOR_PEOPLE_ALONE, ROLES, Actor, Capability
from domain.audit import AuditAction, AuditEntry
from domain.errors import InvalidExpiry, InvalidScopes, InvalidText
from domain.identity.api_keys import NAME_LENGTH_MAX, ApiKey
from domain.identity.key_text import digest_of, new_key, visible_part
from domain.identity.users import User
from domain.ids import ApiKeyId, AuditEntryId, IdKind, encode
from domain.ports import Clock, IdSource, UnitsOfWork
from domain.text import JsonValue, check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """What is asked for; it never expires where `expires_at` is None."""

    name: str
    scopes: Collection[Capability]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key with its text, which nobody can be told again."""

    record: ApiKey
    text: str = field(repr=False)


class CreateApiKey:
    """The act behind the mutation createApiKey and `florin api-keys create`. `live` is the mode of the keys that it makes."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource, live: bool) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids
        self._live = live

    async def __call__(self, actor: Actor, wanted: NewApiKey) -> CreatedKey:
        """A key of the actor's own. Raises Forbidden, or a Refusal, and has created nothing then."""
        actor.require(Capability.KEYS_MANAGE)
        record, text = self._draft(wanted, ApiKeyId(self._ids.new()), actor)
        entry = AuditEntry.by(
            actor,
            AuditAction.API_KEY_CREATED,
            new_id=self._ids.new(),
            transaction_id=None,
            details=told_of(record),
            at=record.created_at,
        )
        return await self._store(record, text, entry)

    async def for_user(self, owner: User, wanted: NewApiKey) -> CreatedKey:
        """A key of a user's, made by whoever runs the server. Raises a Refusal."""
        record, text = self._draft(wanted, ApiKeyId(self._ids.new()), Actor(owner.id, owner.role))
        entry = AuditEntry.by_system(
            AuditAction.API_KEY_CREATED,
            new_id=AuditEntryId(self._ids.new()),
            details=told_of(record),
            at=record.created_at,
        )
        return await self._store(record, text, entry)

    def _draft(self, wanted: NewApiKey, key_id: ApiKeyId, owner: Actor) -> tuple[ApiKey, str]:
        now, scopes = self._clock.now(), frozenset(wanted.scopes)
        _check(wanted, owner, now)
        text = new_key(live=self._live)
        record = ApiKey(
            id=key_id,
            owner_id=owner.user_id,
            name=wanted.name.strip(),
            prefix=visible_part(text),
            scopes=scopes,
            created_at=now,
            expires_at=wanted.expires_at,
        )
        return record, text

    async def _store(self, record: ApiKey, text: str, entry: AuditEntry) -> CreatedKey:
        async with self._units.begin() as uow:
            await uow.api_keys.add(record, digest_of(text))
            await uow.audit.append(entry)
        return CreatedKey(record, text)


def told_of(key: ApiKey) -> dict[str, JsonValue]:
    """What the audit log tells of a key that was created or revoked."""
    return {
        "keyId": encode(IdKind.API_KEY, key.id),
        "ownerId": encode(IdKind.USER, key.owner_id),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": [*sorted(key.scopes)],
        "expiresAt": None if key.expires_at is None else key.expires_at.isoformat(),
    }


def _check(wanted: NewApiKey, owner: Actor, now: datetime) -> None:
    """Raise the Refusal that the input deserves."""
    if not wanted.name.strip():
        raise InvalidText("Name the key after the program that will use it.", path=("input", "name"))
    check_text(wanted.name, path=("input", "name"), length_max=NAME_LENGTH_MAX)
    scopes, path = frozenset(wanted.scopes), ("input", "scopes")
    if not scopes:
        raise InvalidScopes("Name at least one capability.", path=path)
    if alone := sorted(scopes & FOR_PEOPLE_ALONE):
        raise InvalidScopes(f"No API key can be for {', '.join(alone)}: that is for people alone.", path=path)
    if beyond := sorted(scopes - ROLES[owner.role].capabilities):
        raise InvalidScopes(f"The key's owner does not have {', '.join(beyond)}.", path=path)
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise InvalidExpiry(path=("input", "expiresAt"))
