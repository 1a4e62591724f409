"""The table of the audit log."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, String, Table
from sqlalchemy.dialects.postgresql import JSONB, UUID

from persistence.tables.base import metadata, moment

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", UUID, primary_key=True),
    # The order of writing; entries of one unit of work share their time.
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("transaction_id", UUID, ForeignKey("transactions.id"), nullable=False),
    Column("action", String(64), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", UUID, ForeignKey("users.id")),
    Column("details", JSONB, nullable=False),
    moment("at"),
    CheckConstraint("actor_kind IN ('USER', 'API_KEY', 'PROCESSOR', 'SYSTEM')", name="actor_kind"),
    Index("ix_audit_entries_transaction_id_number", "transaction_id", "number"),
)
