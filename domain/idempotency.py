"""Idempotency keys: the same key with the same input is the same act, however often it is sent."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.errors import IdempotencyInProgress, IdempotencyKeyReused
from domain.ids import RefundId, TransactionId, UserId
from domain.text import JsonValue


class KeyedAct(StrEnum):
    """The mutations that take a key; each has its own space of keys."""

    CREATE_PAYMENT = "createPayment"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    REAPPLY_WEBHOOK_EVENT = "reapplyWebhookEvent"
    RESOLVE_DISCREPANCY = "resolveDiscrepancy"
    RESOLVE_ATTEMPT = "resolveAttempt"
    APPROVE_REFUND = "approveRefund"
    REJECT_REFUND = "rejectRefund"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """The first use of a key: what was asked, and what came of it. `running` while the first request is still at work.

    `transaction_id` is nobody's (NIL) where the act is about no transaction.
    """

    actor_id: UserId
    act: KeyedAct
    key: str
    fingerprint: bytes
    transaction_id: TransactionId
    refund_id: RefundId | None = None
    running: bool = True

    def check_repetition(self, fingerprint: bytes) -> None:
        """Raise IdempotencyKeyReused for another input, IdempotencyInProgress while the first request is running."""
        if self.fingerprint != fingerprint:
            raise IdempotencyKeyReused(path=("input", "idempotencyKey"))
        if self.running:
            raise IdempotencyInProgress(path=("input", "idempotencyKey"))


def fingerprint(content: Mapping[str, JsonValue]) -> bytes:
    """A digest of an input's meaning: the order of names does not count, the idempotency key is no part of it."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).digest()


class KeyRepository(Protocol):
    """Idempotency keys."""

    async def claim(self, use: KeyUse) -> bool:
        """Record the first use of a key; False where the key was used before."""
        ...

    async def find(self, actor_id: UserId, act: KeyedAct, key: str) -> KeyUse | None: ...


async def first_use(keys: KeyRepository, use: KeyUse) -> KeyUse | None:
    """Claim a key: None when this is its first use, else the earlier use of the same key with the same input.

    Of two that arrive at once the second waits here until the first has committed or rolled back.
    Raises IdempotencyKeyReused or IdempotencyInProgress.
    """
    return None if await keys.claim(use) else await earlier_use(keys, use)


async def earlier_use(keys: KeyRepository, use: KeyUse) -> KeyUse:
    """The use of the same key that was first, with the same input.

    Raises IdempotencyKeyReused or IdempotencyInProgress.
    """
    earlier = await keys.find(use.actor_id, use.act, use.key)
    if earlier is None:
        raise IdempotencyInProgress(path=("input", "idempotencyKey"))
    earlier.check_repetition(use.fingerprint)
    return earlier
