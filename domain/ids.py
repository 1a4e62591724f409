"""Ids: a UUID inside, a prefixed opaque text outside ("txn_" and 32 hexadecimal digits)."""

import re
from enum import StrEnum
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
TransactionId = NewType("TransactionId", UUID)
AttemptId = NewType("AttemptId", UUID)
RefundId = NewType("RefundId", UUID)
AuditEntryId = NewType("AuditEntryId", UUID)
DisputeId = NewType("DisputeId", UUID)
DiscrepancyId = NewType("DiscrepancyId", UUID)
ReconciliationRunId = NewType("ReconciliationRunId", UUID)
JournalEntryId = NewType("JournalEntryId", UUID)
LedgerAccountId = NewType("LedgerAccountId", UUID)
WebhookEventId = NewType("WebhookEventId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
SessionId = NewType("SessionId", UUID)
SignUpId = NewType("SignUpId", UUID)
MailId = NewType("MailId", UUID)

NIL = UUID(int=0)
"""The UUID that is nobody's (RFC 9562, section 5.9)."""

_FORM = re.compile(r"(?P<prefix>[a-z]+)_(?P<digits>[0-9a-f]{32})")


class IdKind(StrEnum):
    """What an id stands for, as its prefix."""

    TRANSACTION = "txn"
    ATTEMPT = "att"
    REFUND = "re"
    USER = "usr"
    AUDIT_ENTRY = "aud"
    DISPUTE = "dp"
    DISCREPANCY = "dsc"
    JOURNAL_ENTRY = "je"
    LEDGER_ACCOUNT = "acct"
    WEBHOOK_EVENT = "whe"
    API_KEY = "key"
    SESSION = "ses"


def encode(kind: IdKind, value: UUID) -> str:
    return f"{kind.value}_{value.hex}"


def decode(text: str) -> tuple[IdKind, UUID] | None:
    """The kind and value of an id, or None for a text that is no id of ours."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    try:
        return IdKind(match["prefix"]), UUID(hex=match["digits"])
    except ValueError:
        return None


def decode_as(kind: IdKind, text: str) -> UUID | None:
    """The value of an id of this kind, or None for any other text."""
    decoded = decode(text)
    return decoded[1] if decoded is not None and decoded[0] is kind else None


def decode_or_nil(kind: IdKind, text: str) -> UUID:
    """The value of an id of this kind; for any other text the nil UUID, so that what is looked for is found nowhere."""
    return decode_as(kind, text) or NIL
