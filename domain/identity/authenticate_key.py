"""From an API key to the actor who acts by it."""

from domain.access import Actor, KeyInUse
from domain.errors import Unauthenticated
from domain.identity.api_keys import KeyDirectory
from domain.identity.key_text import digest_of, is_key


class AuthenticateKey:
    """Finds out who acts by a key. `live` tells whether real money moves here: keys of the other mode are refused."""

    def __init__(self, directory: KeyDirectory, *, live: bool) -> None:
        self._directory = directory
        self._live = live

    async def __call__(self, key: str) -> Actor:
        """Raises Unauthenticated, without saying why, for a key that does not hold; one that cannot be a key asks nobody."""
        if not is_key(key, live=self._live):
            raise Unauthenticated
        holder = await self._directory.holder_of(digest_of(key))
        if holder is None:
            raise Unauthenticated
        if holder.use_is_stale:
            self._directory.note_use(holder.id)
        return Actor(user_id=holder.owner_id, role=holder.role, key=KeyInUse(holder.id, holder.scopes))
