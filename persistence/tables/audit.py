"""The tables of the audit log: its entries, and the chains that tell whether one was changed or removed."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from persistence.tables.base import ONLY_ADDED_TO, ONLY_READ, metadata, moment

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", UUID, primary_key=True),
    # The order of writing; entries of one unit of work share their time.
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("transaction_id", UUID, ForeignKey("transactions.id")),
    Column("action", String(64), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", UUID, ForeignKey("users.id")),
    Column("details", JSONB, nullable=False),
    moment("at"),
    CheckConstraint("action ~ '^[a-z0-9_.]+$'", name="action"),
    CheckConstraint("actor_kind IN ('USER', 'API_KEY', 'PROCESSOR', 'SYSTEM')", name="actor_kind"),
    Index("ix_audit_entries_transaction_id_number", "transaction_id", "number"),
    info=ONLY_ADDED_TO,
)

# Written by a trigger when an entry is committed, and by nobody else: see domain/audit_chain.py.
audit_links = Table(
    "audit_links",
    metadata,
    Column("chain", SmallInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    # No foreign key, which would cost a lock on every entry: what is missing is found by who verifies the chain.
    Column("entry_id", UUID, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("chain", "position"),
    info=ONLY_READ,
)

# The end of each chain: the row to lock for whoever appends, and what tells that a chain was cut short.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", SmallInteger, primary_key=True, autoincrement=False),
    Column("length", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    info=ONLY_READ,
)
