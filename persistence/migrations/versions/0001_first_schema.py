"""The first schema: users, transactions, refunds, attempts, the audit log, idempotency keys and webhook events."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A migration is frozen: it repeats what the tables were on its day, and imports nothing that may change later.
_TABLES = """
CREATE TABLE transaction_edges (
    from_status VARCHAR(24) NOT NULL,
    to_status VARCHAR(24) NOT NULL,
    CONSTRAINT pk_transaction_edges PRIMARY KEY (from_status, to_status)
);

CREATE TABLE users (
    id UUID NOT NULL,
    email VARCHAR(320) NOT NULL,
    name VARCHAR(200) NOT NULL,
    role VARCHAR(16) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT ck_users_role CHECK (role IN ('CUSTOMER', 'SUPPORT', 'ADMIN'))
);

CREATE UNIQUE INDEX uq_users_email_lower ON users (lower(email));

CREATE TABLE webhook_events (
    id VARCHAR(255) NOT NULL,
    type VARCHAR(255) NOT NULL,
    subject VARCHAR(16) NOT NULL,
    reference VARCHAR(255),
    live BOOLEAN NOT NULL,
    body BYTEA NOT NULL,
    state VARCHAR(16) NOT NULL,
    reason TEXT,
    tries INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_try_at TIMESTAMP WITH TIME ZONE NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_events PRIMARY KEY (id),
    CONSTRAINT ck_webhook_events_state CHECK (state IN ('RECEIVED', 'APPLIED', 'IGNORED', 'QUARANTINED'))
);

CREATE INDEX ix_webhook_events_due ON webhook_events (next_try_at) WHERE state = 'RECEIVED';

CREATE TABLE idempotency_keys (
    actor_id UUID NOT NULL,
    act VARCHAR(32) NOT NULL,
    key VARCHAR(255) NOT NULL,
    fingerprint BYTEA NOT NULL,
    transaction_id UUID NOT NULL,
    refund_id UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (actor_id, act, key),
    CONSTRAINT fk_idempotency_keys_actor_id FOREIGN KEY(actor_id) REFERENCES users (id)
);

CREATE TABLE transactions (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    status VARCHAR(24) NOT NULL,
    amount BIGINT NOT NULL,
    currency CHAR(3) NOT NULL,
    captured BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    refund_reserved BIGINT NOT NULL,
    disputed BIGINT NOT NULL,
    fee BIGINT,
    fee_currency CHAR(3),
    capture_method VARCHAR(16) NOT NULL,
    payment_method_id VARCHAR(255) NOT NULL,
    card_brand VARCHAR(32),
    card_last4 VARCHAR(4),
    card_expiry_month SMALLINT,
    card_expiry_year SMALLINT,
    description TEXT,
    metadata JSONB NOT NULL,
    return_url TEXT,
    processor VARCHAR(32) NOT NULL,
    processor_reference VARCHAR(255),
    processor_status VARCHAR(64),
    failure_code VARCHAR(64),
    failure_message TEXT,
    failure_decline_code VARCHAR(64),
    failure_retryable BOOLEAN,
    failure_refusal VARCHAR(64),
    next_action_type VARCHAR(16),
    next_action_redirect_url TEXT,
    next_action_client_secret TEXT,
    version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    search TSVECTOR GENERATED ALWAYS AS (
        to_tsvector('simple'::regconfig, translate(
            coalesce(description, '') || ' ' || coalesce(processor_reference, ''), '-./@_+:', '       '
        ))
    ) STORED,
    CONSTRAINT pk_transactions PRIMARY KEY (id),
    CONSTRAINT uq_transactions_processor_reference UNIQUE (processor_reference),
    CONSTRAINT ck_transactions_amount CHECK (amount > 0),
    CONSTRAINT ck_transactions_captured CHECK (captured BETWEEN 0 AND amount),
    CONSTRAINT ck_transactions_refunded CHECK (refunded BETWEEN 0 AND refund_reserved),
    CONSTRAINT ck_transactions_refund_reserved CHECK (refund_reserved <= captured),
    CONSTRAINT ck_transactions_disputed CHECK (disputed BETWEEN 0 AND captured),
    CONSTRAINT fk_transactions_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);

CREATE INDEX ix_transactions_amount_id ON transactions (amount, id);

CREATE INDEX ix_transactions_created_at_id ON transactions (created_at, id);

CREATE INDEX ix_transactions_currency_created_at_id ON transactions (currency, created_at, id);

CREATE INDEX ix_transactions_search ON transactions USING gin (search);

CREATE INDEX ix_transactions_status_created_at_id ON transactions (status, created_at, id);

CREATE INDEX ix_transactions_user_id_amount_id ON transactions (user_id, amount, id);

CREATE INDEX ix_transactions_user_id_created_at_id ON transactions (user_id, created_at, id);

CREATE TABLE audit_entries (
    id UUID NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    transaction_id UUID NOT NULL,
    action VARCHAR(64) NOT NULL,
    actor_kind VARCHAR(16) NOT NULL,
    actor_id UUID,
    details JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_audit_entries PRIMARY KEY (id),
    CONSTRAINT ck_audit_entries_actor_kind CHECK (actor_kind IN ('USER', 'API_KEY', 'PROCESSOR', 'SYSTEM')),
    CONSTRAINT fk_audit_entries_transaction_id FOREIGN KEY(transaction_id) REFERENCES transactions (id),
    CONSTRAINT fk_audit_entries_actor_id FOREIGN KEY(actor_id) REFERENCES users (id)
);

CREATE INDEX ix_audit_entries_transaction_id_number ON audit_entries (transaction_id, number);

CREATE TABLE refunds (
    id UUID NOT NULL,
    transaction_id UUID NOT NULL,
    status VARCHAR(16) NOT NULL,
    amount BIGINT NOT NULL,
    currency CHAR(3) NOT NULL,
    reason VARCHAR(32),
    requested_by UUID,
    processor_reference VARCHAR(255),
    failure_code VARCHAR(64),
    failure_message TEXT,
    failure_decline_code VARCHAR(64),
    failure_retryable BOOLEAN,
    failure_refusal VARCHAR(64),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_refunds PRIMARY KEY (id),
    CONSTRAINT uq_refunds_processor_reference UNIQUE (processor_reference),
    CONSTRAINT ck_refunds_amount CHECK (amount > 0),
    CONSTRAINT ck_refunds_status CHECK (status IN ('PENDING', 'COMPLETED', 'FAILED')),
    CONSTRAINT fk_refunds_transaction_id FOREIGN KEY(transaction_id) REFERENCES transactions (id),
    CONSTRAINT fk_refunds_requested_by FOREIGN KEY(requested_by) REFERENCES users (id)
);

CREATE INDEX ix_refunds_transaction_id_created_at_id ON refunds (transaction_id, created_at, id);

CREATE TABLE attempts (
    id UUID NOT NULL,
    kind VARCHAR(16) NOT NULL,
    transaction_id UUID NOT NULL,
    refund_id UUID,
    amount BIGINT,
    step VARCHAR(16) NOT NULL,
    state VARCHAR(16) NOT NULL,
    tries INTEGER NOT NULL,
    reason TEXT,
    first_sent_at TIMESTAMP WITH TIME ZONE,
    lease_until TIMESTAMP WITH TIME ZONE,
    next_check_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_attempts PRIMARY KEY (id),
    CONSTRAINT ck_attempts_kind CHECK (kind IN ('CHARGE', 'CAPTURE', 'VOID', 'REFUND')),
    CONSTRAINT ck_attempts_state CHECK (state IN ('OPEN', 'DONE', 'MANUAL')),
    CONSTRAINT ck_attempts_refund_id CHECK ((kind = 'REFUND') = (refund_id IS NOT NULL)),
    CONSTRAINT fk_attempts_transaction_id FOREIGN KEY(transaction_id) REFERENCES transactions (id),
    CONSTRAINT fk_attempts_refund_id FOREIGN KEY(refund_id) REFERENCES refunds (id)
);

CREATE INDEX ix_attempts_due ON attempts (next_check_at) WHERE state = 'OPEN';

CREATE INDEX ix_attempts_transaction_id ON attempts (transaction_id);

CREATE UNIQUE INDEX uq_attempts_charge ON attempts (transaction_id) WHERE kind = 'CHARGE';

CREATE UNIQUE INDEX uq_attempts_follow_up ON attempts (transaction_id) WHERE kind IN ('CAPTURE', 'VOID') AND state <> 'DONE';

CREATE UNIQUE INDEX uq_attempts_refund ON attempts (refund_id) WHERE kind = 'REFUND'
"""

_EDGES = (
    ("AUTHORIZED", "CANCELED"),
    ("AUTHORIZED", "COMPLETED"),
    ("COMPLETED", "PARTIALLY_REFUNDED"),
    ("COMPLETED", "REFUNDED"),
    ("PARTIALLY_REFUNDED", "COMPLETED"),
    ("PARTIALLY_REFUNDED", "REFUNDED"),
    ("PENDING", "AUTHORIZED"),
    ("PENDING", "CANCELED"),
    ("PENDING", "COMPLETED"),
    ("PENDING", "FAILED"),
    ("PENDING", "REQUIRES_ACTION"),
    ("REFUNDED", "COMPLETED"),
    ("REFUNDED", "PARTIALLY_REFUNDED"),
    ("REQUIRES_ACTION", "AUTHORIZED"),
    ("REQUIRES_ACTION", "CANCELED"),
    ("REQUIRES_ACTION", "COMPLETED"),
    ("REQUIRES_ACTION", "FAILED"),
    ("REQUIRES_ACTION", "PENDING"),
)

_TRIGGERS = (
    """
CREATE FUNCTION refuse_illegal_edge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM transaction_edges WHERE from_status = OLD.status AND to_status = NEW.status) THEN
        RAISE EXCEPTION 'transaction % may not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$
""",
    """
CREATE TRIGGER legal_edges BEFORE UPDATE OF status ON transactions
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION refuse_illegal_edge()
""",
    """
CREATE FUNCTION refuse_first_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transaction % must begin as PENDING, not %', NEW.id, NEW.status USING ERRCODE = 'check_violation';
END
$$
""",
    """
CREATE TRIGGER first_status BEFORE INSERT ON transactions
    FOR EACH ROW WHEN (NEW.status <> 'PENDING') EXECUTE FUNCTION refuse_first_status()
""",
)


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        op.execute(statement)
    for from_status, to_status in _EDGES:
        op.execute(f"INSERT INTO transaction_edges VALUES ('{from_status}', '{to_status}')")  # noqa: S608  constants
    for statement in _TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
