"""The audit log: one entry for each change, never edited."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from domain.access import Actor, ActorKind
from domain.ids import AuditEntryId, IdKind, TransactionId, UserId, encode
from domain.text import JsonValue


class AuditAction(StrEnum):
    """What happened."""

    TRANSACTION_CREATED = "transaction.created"
    TRANSACTION_PENDING = "transaction.pending"
    TRANSACTION_REQUIRES_ACTION = "transaction.requires_action"
    TRANSACTION_AUTHORIZED = "transaction.authorized"
    TRANSACTION_COMPLETED = "transaction.completed"
    TRANSACTION_PARTIALLY_REFUNDED = "transaction.partially_refunded"
    TRANSACTION_REFUNDED = "transaction.refunded"
    TRANSACTION_FAILED = "transaction.failed"
    TRANSACTION_CANCELED = "transaction.canceled"
    CAPTURE_REQUESTED = "capture.requested"
    VOID_REQUESTED = "void.requested"
    REFUND_REQUESTED = "refund.requested"
    REFUND_APPROVED = "refund.approved"
    REFUND_REJECTED = "refund.rejected"
    REFUND_COMPLETED = "refund.completed"
    REFUND_FAILED = "refund.failed"
    DISCREPANCY_RESOLVED = "discrepancy.resolved"
    DISPUTE_INQUIRY = "dispute.inquiry"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_ANSWERED = "dispute.answered"
    DISPUTE_WON = "dispute.won"
    DISPUTE_LOST = "dispute.lost"
    DISPUTE_CLOSED = "dispute.closed"
    WEBHOOK_EVENT_REAPPLIED = "webhook_event.reapplied"
    ATTEMPT_RESOLVED = "attempt.resolved"
    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"
    SESSION_ISSUED = "session.issued"
    SESSION_STARTED = "session.started"
    SESSION_REFRESHED = "session.refreshed"
    SESSION_TOKEN_REUSED = "session.token_reused"  # noqa: S105  what happened, and no token
    SESSION_ENDED = "session.ended"
    SESSIONS_ENDED = "sessions.ended"
    SECOND_FACTOR_ENABLED = "second_factor.enabled"
    SECOND_FACTOR_DISABLED = "second_factor.disabled"
    RECOVERY_CODE_USED = "recovery_code.used"
    USER_ROLE_CHANGED = "user.role_changed"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_SIGNED_UP = "user.signed_up"
    EMAIL_VERIFICATION_REQUESTED = "email.verification_requested"
    EMAIL_VERIFIED = "email.verified"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105  as above
    PASSWORD_RESET_REQUESTED = "password.reset_requested"  # noqa: S105  as above
    PASSWORD_RESET = "password.reset"  # noqa: S105  as above
    USER_ADMITTED = "user.admitted"
    USER_ROLE_GRANTED = "user.role_granted"
    IDENTITY_LINKED = "identity.linked"


class Origin(StrEnum):
    """By which door an outcome came in."""

    RESPONSE = "response"
    WEBHOOK = "webhook"
    RECOVERY = "recovery"
    RECONCILIATION = "reconciliation"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry as stored.

    `transaction_id` is None for what concerns no transaction, `actor_id` for the processor and the system.
    """

    id: AuditEntryId
    transaction_id: TransactionId | None
    action: AuditAction
    actor_kind: ActorKind
    actor_id: UserId | None
    details: Mapping[str, JsonValue]
    at: datetime

    @classmethod
    def by(
        cls,
        actor: Actor,
        action: AuditAction,
        *,
        new_id: UUID,
        transaction_id: TransactionId | None,
        details: Mapping[str, JsonValue],
        at: datetime,
    ) -> Self:
        """The entry of what a user has asked for; `details` tell of the API key too, where it was by one."""
        if actor.key is not None:
            details = {**details, "apiKeyId": encode(IdKind.API_KEY, actor.key.id)}
        return cls(
            id=AuditEntryId(new_id),
            transaction_id=transaction_id,
            action=action,
            actor_kind=actor.kind,
            actor_id=actor.user_id,
            details=details,
            at=at,
        )

    @classmethod
    def by_person(
        cls, user_id: UserId, action: AuditAction, *, new_id: UUID, details: Mapping[str, JsonValue], at: datetime
    ) -> Self:
        """The entry of what somebody did to their own account, and which is about no transaction."""
        return cls(
            id=AuditEntryId(new_id),
            transaction_id=None,
            action=action,
            actor_kind=ActorKind.USER,
            actor_id=user_id,
            details=details,
            at=at,
        )

    @classmethod
    def by_system(
        cls, action: AuditAction, *, new_id: AuditEntryId, details: Mapping[str, JsonValue], at: datetime
    ) -> Self:
        """The entry of what Florin does by itself, or for whoever runs the server, and which is about no transaction."""
        return cls(
            id=new_id,
            transaction_id=None,
            action=action,
            actor_kind=ActorKind.SYSTEM,
            actor_id=None,
            details=details,
            at=at,
        )
