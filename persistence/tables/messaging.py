"""The table of webhook events that came in."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, String, Table, Text, text

from persistence.tables.base import metadata, moment

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("subject", String(16), nullable=False),
    Column("reference", String(255)),
    Column("live", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("tries", Integer, nullable=False),
    moment("created_at"),
    moment("received_at"),
    moment("next_try_at"),
    moment("settled_at", nullable=True),
    CheckConstraint("state IN ('RECEIVED', 'APPLIED', 'IGNORED', 'QUARANTINED')", name="state"),
    Index("ix_webhook_events_due", "next_try_at", postgresql_where=text("state = 'RECEIVED'")),
)
