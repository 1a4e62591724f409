"""Idempotency keys. https://docs.stripe.com/api/idempotent_requests

The answer of an executed request, whether it succeeded or not, is given again to the same request with the same key.
"""

import hashlib
from dataclasses import dataclass

from sandbox.clock import SandboxClock
from sandbox.errors import ApiError, invalid
from sandbox.forms import RawHash
from sandbox.store import Store
from sandbox.wire import dump_canonical

_KEY_LENGTH_MAX = 255
_KEPT_SECONDS = 24 * 3_600


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A POST with an idempotency key. `scope` stands for the API key that sent it."""

    scope: str
    key: str
    path: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes
    request_id: str


def keyed_request(api_key: str, key: str, path: str, params: RawHash) -> KeyedRequest:
    """Raises ApiError 400 for a key that is too long."""
    if len(key) > _KEY_LENGTH_MAX:
        raise invalid(f"Idempotency keys can have up to {_KEY_LENGTH_MAX} characters, but yours has {len(key)}.")
    return KeyedRequest(
        scope=hashlib.sha256(api_key.encode()).hexdigest(),
        key=key,
        path=path,
        fingerprint=hashlib.sha256(dump_canonical(params)).hexdigest(),
    )


class IdempotencyKeys:
    def __init__(self, store: Store, clock: SandboxClock) -> None:
        self._store = store
        self._clock = clock
        self._executing: set[tuple[str, str]] = set()

    def claim(self, request: KeyedRequest) -> StoredAnswer | None:
        """The answer to repeat, or None: then the caller executes, and calls `release` when it has done so.

        Raises ApiError 409 while the key is executing, and 400 if it was used for another request.
        """
        if (request.scope, request.key) in self._executing:
            raise in_use(request.key)
        row = self._store.connection.execute(
            "SELECT path, fingerprint, status, body, request_id FROM answers "
            "WHERE scope = ? AND key = ? AND created > ?",
            (request.scope, request.key, self._clock.now() - _KEPT_SECONDS),
        ).fetchone()
        if row is None:
            self._executing.add((request.scope, request.key))
            return None
        path, fingerprint, status, body, request_id = row
        if path != request.path:
            raise _reused(
                request.key,
                f"for the same endpoint they were first used for ('{path}' vs '{request.path}')",
            )
        if fingerprint != request.fingerprint:
            raise _reused(request.key, "with the same parameters they were first used with")
        return StoredAnswer(status, body, request_id)

    def release(self, request: KeyedRequest) -> None:
        self._executing.discard((request.scope, request.key))

    def keep(self, request: KeyedRequest, answer: StoredAnswer) -> None:
        """Call it in the transaction of what was executed, so that an effect never exists without its answer."""
        now = self._clock.now()
        self._store.connection.execute("DELETE FROM answers WHERE created <= ?", (now - _KEPT_SECONDS,))
        self._store.connection.execute(
            "INSERT INTO answers (scope, key, path, fingerprint, status, body, request_id, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.scope,
                request.key,
                request.path,
                request.fingerprint,
                answer.status,
                answer.body,
                answer.request_id,
                now,
            ),
        )


def in_use(key: str) -> ApiError:
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        code="idempotency_key_in_use",
        stored=False,
    )


def _reused(key: str, rule: str) -> ApiError:
    return ApiError(
        400,
        f"Keys for idempotent requests can only be used {rule}. Try using a key other than '{key}' if you meant to "
        "execute a different request.",
        kind="idempotency_error",
        stored=False,
    )
