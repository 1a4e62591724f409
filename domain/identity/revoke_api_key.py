"""Revoke an API key: from the commit on, no request by it is taken anywhere."""

from dataclasses import replace
from datetime import datetime

from domain.access import Actor, Capability
from domain.audit import AuditAction, AuditEntry
from domain.errors import NotFound
from domain.identity.api_keys import ApiKey
from domain.identity.create_api_key import told_of
from domain.ids import ApiKeyId, AuditEntryId
from domain.ports import Clock, IdSource, UnitsOfWork


class RevokeApiKey:
    """The act behind the mutation revokeApiKey and `florin api-keys revoke`."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids

    async def __call__(self, actor: Actor | None, key_id: ApiKeyId | None) -> ApiKey:
        """The key, revoked now or before. `actor` is None for whoever runs the server. Raises Forbidden or NotFound."""
        if actor is not None:
            actor.require(Capability.KEYS_MANAGE)
        path = ("input", "apiKeyId")
        if key_id is None:
            raise NotFound(path=path)
        async with self._units.begin() as uow:
            key = await uow.api_keys.lock(key_id)
            if key is None:
                raise NotFound(path=path)
            if key.revoked_at is None:
                now = self._clock.now()
                await uow.api_keys.revoke(key_id, now)
                key = replace(key, revoked_at=now)
                await uow.audit.append(self._revoked(actor, key, now))
        return key

    def _revoked(self, actor: Actor | None, key: ApiKey, at: datetime) -> AuditEntry:
        action, details = AuditAction.API_KEY_REVOKED, told_of(key)
        if actor is None:
            return AuditEntry.by_system(action, new_id=AuditEntryId(self._ids.new()), details=details, at=at)
        return AuditEntry.by(actor, action, new_id=self._ids.new(), transaction_id=None, details=details, at=at)
