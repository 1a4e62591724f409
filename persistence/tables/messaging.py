"""The tables of messages: webhook events that came in, and mails that go out."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from persistence.tables.base import metadata, moment

webhook_events = Table(
    "webhook_events",
    metadata,
    # The processor's own id, which makes a second delivery the same row.
    Column("id", String(255), primary_key=True),
    # What the API calls it. It follows from the processor's id, so that an event that was pruned and comes again keeps it.
    Column("public_id", UUID, Computed("CAST(md5(id) AS uuid)", persisted=True), nullable=False),
    Column("type", String(255), nullable=False),
    Column("subject", String(16), nullable=False),
    Column("reference", String(255)),
    Column("account", String(255)),
    Column("live", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("tries", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    # No foreign key: checking one locks the transaction's row after the event's, and whoever applies locks them the other
    # way round. Transactions are never deleted.
    Column("transaction_id", UUID),
    moment("created_at"),
    moment("received_at"),
    moment("next_try_at"),
    moment("settled_at", nullable=True),
    CheckConstraint("state IN ('RECEIVED', 'APPLIED', 'IGNORED', 'QUARANTINED', 'PARKED')", name="state"),
    Index("uq_webhook_events_public_id", "public_id", unique=True),
    Index("ix_webhook_events_due", "next_try_at", postgresql_where=text("state = 'RECEIVED'")),
    Index("ix_webhook_events_received_at_public_id", "received_at", "public_id"),
    Index("ix_webhook_events_state_received_at_public_id", "state", "received_at", "public_id"),
    Index("ix_webhook_events_type_received_at_public_id", "type", "received_at", "public_id"),
    Index("ix_webhook_events_reference_received_at_public_id", "reference", "received_at", "public_id"),
)

mails = Table(
    "mails",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("recipient", String(320), nullable=False),
    # No foreign keys: what a mail is about may be gone by the time it is sent, and then there is nothing to say.
    Column("sign_up_id", UUID),
    Column("user_id", UUID),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("tries", Integer, nullable=False),
    moment("created_at"),
    moment("next_try_at"),
    moment("settled_at", nullable=True),
    CheckConstraint("state IN ('WAITING', 'SENT', 'SKIPPED', 'FAILED')", name="state"),
    Index("ix_mails_due", "next_try_at", postgresql_where=text("state = 'WAITING'")),
    Index("ix_mails_settled_at", "settled_at"),
)
