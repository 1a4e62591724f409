"""The tables. Constraints that guard money stand in the database itself, so that no code path can get around them."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import CHAR, JSONB, TSVECTOR, UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


users = Table(
    "users",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    _moment("created_at"),
    CheckConstraint("role IN ('CUSTOMER', 'SUPPORT', 'ADMIN')", name="role"),
    Index("uq_users_email_lower", func.lower(text("email")), unique=True),
)

transaction_edges = Table(
    "transaction_edges",
    metadata,
    Column("from_status", String(24), nullable=False),
    Column("to_status", String(24), nullable=False),
    PrimaryKeyConstraint("from_status", "to_status"),
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("user_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("status", String(24), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("refund_reserved", BigInteger, nullable=False),
    Column("disputed", BigInteger, nullable=False),
    Column("fee", BigInteger),
    Column("fee_currency", CHAR(3)),
    Column("capture_method", String(16), nullable=False),
    Column("payment_method_id", String(255), nullable=False),
    Column("card_brand", String(32)),
    Column("card_last4", String(4)),
    Column("card_expiry_month", SmallInteger),
    Column("card_expiry_year", SmallInteger),
    Column("description", Text),
    Column("metadata", JSONB, nullable=False),
    Column("return_url", Text),
    Column("processor", String(32), nullable=False),
    Column("processor_reference", String(255)),
    Column("processor_status", String(64)),
    Column("failure_code", String(64)),
    Column("failure_message", Text),
    Column("failure_decline_code", String(64)),
    Column("failure_retryable", Boolean),
    Column("failure_refusal", String(64)),
    Column("next_action_type", String(16)),
    Column("next_action_redirect_url", Text),
    Column("next_action_client_secret", Text),
    Column("version", Integer, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    Column(
        "search",
        TSVECTOR,
        Computed(
            # Without its punctuation, or else PostgreSQL takes INV-1234 for a word and a negative number, a@b.c for one word.
            "to_tsvector('simple'::regconfig, translate("
            "coalesce(description, '') || ' ' || coalesce(processor_reference, ''), '-./@_+:', '       '))",
            persisted=True,
        ),
    ),
    UniqueConstraint("processor_reference"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("captured BETWEEN 0 AND amount", name="captured"),
    CheckConstraint("refunded BETWEEN 0 AND refund_reserved", name="refunded"),
    CheckConstraint("refund_reserved <= captured", name="refund_reserved"),
    CheckConstraint("disputed BETWEEN 0 AND captured", name="disputed"),
    Index("ix_transactions_user_id_created_at_id", "user_id", "created_at", "id"),
    Index("ix_transactions_created_at_id", "created_at", "id"),
    Index("ix_transactions_amount_id", "amount", "id"),
    Index("ix_transactions_user_id_amount_id", "user_id", "amount", "id"),
    Index("ix_transactions_status_created_at_id", "status", "created_at", "id"),
    Index("ix_transactions_currency_created_at_id", "currency", "created_at", "id"),
    Index("ix_transactions_search", "search", postgresql_using="gin"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("transaction_id", UUID, ForeignKey("transactions.id"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("reason", String(32)),
    Column("requested_by", UUID, ForeignKey("users.id")),
    Column("processor_reference", String(255)),
    Column("failure_code", String(64)),
    Column("failure_message", Text),
    Column("failure_decline_code", String(64)),
    Column("failure_retryable", Boolean),
    Column("failure_refusal", String(64)),
    _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("processor_reference"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("status IN ('PENDING', 'COMPLETED', 'FAILED')", name="status"),
    Index("ix_refunds_transaction_id_created_at_id", "transaction_id", "created_at", "id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("transaction_id", UUID, ForeignKey("transactions.id"), nullable=False),
    Column("refund_id", UUID, ForeignKey("refunds.id")),
    Column("amount", BigInteger),
    Column("step", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("reason", Text),
    _moment("first_sent_at", nullable=True),
    _moment("lease_until", nullable=True),
    _moment("next_check_at"),
    _moment("last_checked_at"),
    CheckConstraint("kind IN ('CHARGE', 'CAPTURE', 'VOID', 'REFUND')", name="kind"),
    CheckConstraint("state IN ('OPEN', 'DONE', 'MANUAL')", name="state"),
    CheckConstraint("(kind = 'REFUND') = (refund_id IS NOT NULL)", name="refund_id"),
    Index("uq_attempts_charge", "transaction_id", unique=True, postgresql_where=text("kind = 'CHARGE'")),
    Index(
        "uq_attempts_follow_up",
        "transaction_id",
        unique=True,
        postgresql_where=text("kind IN ('CAPTURE', 'VOID') AND state <> 'DONE'"),
    ),
    Index("uq_attempts_refund", "refund_id", unique=True, postgresql_where=text("kind = 'REFUND'")),
    Index("ix_attempts_due", "next_check_at", postgresql_where=text("state = 'OPEN'")),
    Index("ix_attempts_transaction_id", "transaction_id"),
)

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
    _moment("at"),
    CheckConstraint("actor_kind IN ('USER', 'API_KEY', 'PROCESSOR', 'SYSTEM')", name="actor_kind"),
    Index("ix_audit_entries_transaction_id_number", "transaction_id", "number"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("actor_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("act", String(32), nullable=False),
    Column("key", String(255), nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    # No foreign keys: a key is claimed first, before the objects that it names are written or even looked for.
    Column("transaction_id", UUID, nullable=False),
    Column("refund_id", UUID),
    _moment("created_at"),
    PrimaryKeyConstraint("actor_id", "act", "key"),
)

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
    _moment("created_at"),
    _moment("received_at"),
    _moment("next_try_at"),
    _moment("settled_at", nullable=True),
    CheckConstraint("state IN ('RECEIVED', 'APPLIED', 'IGNORED', 'QUARANTINED')", name="state"),
    Index("ix_webhook_events_due", "next_try_at", postgresql_where=text("state = 'RECEIVED'")),
)
