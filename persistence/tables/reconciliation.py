"""The tables of reconciliation: what does not agree, and which run found it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import CHAR, UUID

from persistence.tables.base import metadata, moment

discrepancies = Table(
    "discrepancies",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject_kind", String(16), nullable=False),
    Column("reference", String(255), nullable=False),
    # Null where the processor holds money for a transaction that does not exist here.
    Column("transaction_id", UUID, ForeignKey("transactions.id")),
    Column("processor_amount", BigInteger),
    Column("processor_currency", CHAR(3)),
    Column("our_amount", BigInteger),
    Column("our_currency", CHAR(3)),
    Column("summary", Text, nullable=False),
    moment("first_seen_at"),
    moment("last_seen_at"),
    moment("resolved_at", nullable=True),
    Column("resolution", String(16)),
    Column("resolved_by", UUID, ForeignKey("users.id")),
    Column("reason", Text),
    CheckConstraint("subject_kind IN ('CHARGE', 'REFUND', 'DISPUTE', 'LEDGER')", name="subject_kind"),
    CheckConstraint("resolution IN ('CURED', 'NO_LONGER_SEEN', 'BY_PERSON')", name="resolution"),
    CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolved_at"),
    CheckConstraint(
        "(coalesce(resolution, '') = 'BY_PERSON') = (resolved_by IS NOT NULL AND reason IS NOT NULL)",
        name="resolved_by",
    ),
    # One difference is one row for as long as it lasts, whoever sees it and how often.
    Index(
        "uq_discrepancies_open",
        "kind",
        "subject_kind",
        "reference",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    Index("ix_discrepancies_first_seen_at_id", "first_seen_at", "id"),
    Index("ix_discrepancies_kind_first_seen_at_id", "kind", "first_seen_at", "id"),
    Index("ix_discrepancies_open", "first_seen_at", "id", postgresql_where=text("resolved_at IS NULL")),
    Index("ix_discrepancies_subject_kind_reference", "subject_kind", "reference"),
    Index("ix_discrepancies_transaction_id", "transaction_id"),
    Index("ix_discrepancies_waiting", "last_seen_at", postgresql_where=text("resolved_at IS NULL")),
)

reconciliation_runs = Table(
    "reconciliation_runs",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("state", String(16), nullable=False),
    moment("window_start"),
    moment("window_end"),
    moment("cursor"),
    Column("charges", BigInteger, nullable=False),
    Column("refunds", BigInteger, nullable=False),
    Column("disputes", BigInteger, nullable=False),
    Column("balance_entries", BigInteger, nullable=False),
    Column("transactions", BigInteger, nullable=False),
    Column("foreign_charges", BigInteger, nullable=False),
    moment("started_at"),
    moment("updated_at"),
    CheckConstraint("state IN ('RUNNING', 'DONE', 'ABANDONED')", name="state"),
    CheckConstraint("cursor BETWEEN window_start AND window_end", name="cursor"),
    # A run that was killed is gone on with, so that there is at most one for each window.
    Index(
        "uq_reconciliation_runs_running",
        "window_start",
        "window_end",
        unique=True,
        postgresql_where=text("state = 'RUNNING'"),
    ),
)

reconciliation_findings = Table(
    "reconciliation_findings",
    metadata,
    Column("run_id", UUID, ForeignKey("reconciliation_runs.id"), nullable=False),
    Column("discrepancy_id", UUID, ForeignKey("discrepancies.id"), nullable=False),
    PrimaryKeyConstraint("run_id", "discrepancy_id"),
    Index("ix_reconciliation_findings_discrepancy_id", "discrepancy_id"),
)
