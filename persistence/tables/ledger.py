"""The tables of the ledger. Triggers of the migration keep entries balanced and everything in them as it was written."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import CHAR, UUID

from persistence.tables.base import ONLY_ADDED_TO, metadata, moment

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("user_id", UUID, ForeignKey("users.id")),
    moment("created_at"),
    UniqueConstraint("kind", "currency", "user_id", postgresql_nulls_not_distinct=True),
    CheckConstraint("(kind = 'CUSTOMER') = (user_id IS NOT NULL)", name="user_id"),
    Index("ix_ledger_accounts_user_id", "user_id"),
    info=ONLY_ADDED_TO,
)

journal_entries = Table(
    "journal_entries",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("transaction_id", UUID, ForeignKey("transactions.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    # What caused it, by the processor's name or ours: nothing is posted twice, whoever comes first.
    Column("source", String(300), nullable=False),
    Column("refund_id", UUID, ForeignKey("refunds.id")),
    Column("dispute_id", UUID, ForeignKey("disputes.id")),
    # The number of its lines, so that none can be added later.
    Column("lines", SmallInteger, nullable=False),
    moment("posted_at"),
    UniqueConstraint("transaction_id", "kind", "source"),
    CheckConstraint("lines >= 2", name="lines"),
    Index("ix_journal_entries_posted_at_id", "posted_at", "id"),
    Index("ix_journal_entries_transaction_id_posted_at_id", "transaction_id", "posted_at", "id"),
    Index("ix_journal_entries_refund_id", "refund_id", postgresql_where=text("refund_id IS NOT NULL")),
    Index("ix_journal_entries_dispute_id", "dispute_id", postgresql_where=text("dispute_id IS NOT NULL")),
    info=ONLY_ADDED_TO,
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("entry_id", UUID, ForeignKey("journal_entries.id"), nullable=False),
    Column("line", SmallInteger, nullable=False),
    # No foreign key: it would lock the accounts' few rows for every payment. The trigger that checks an entry looks whether
    # its accounts exist, and accounts are never deleted.
    Column("account_id", UUID, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    # Minor units of the currency: a debit is positive, a credit negative.
    Column("amount", BigInteger, nullable=False),
    moment("posted_at"),
    PrimaryKeyConstraint("entry_id", "line"),
    CheckConstraint("amount <> 0", name="amount"),
    Index("ix_ledger_entries_account_id_posted_at", "account_id", "posted_at", postgresql_include=["amount"]),
    info=ONLY_ADDED_TO,
)
