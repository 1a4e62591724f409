"""The ledger and disputes, with entries for the money that moved before there was a ledger."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE disputes (
    id UUID NOT NULL,
    transaction_id UUID NOT NULL,
    status VARCHAR(16) NOT NULL,
    processor_status VARCHAR(64) NOT NULL,
    processor_reference VARCHAR(255) NOT NULL,
    amount BIGINT NOT NULL,
    currency CHAR(3) NOT NULL,
    reason VARCHAR(64) NOT NULL,
    withdrawn BIGINT NOT NULL,
    movements INTEGER NOT NULL,
    evidence_due_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_disputes PRIMARY KEY (id),
    CONSTRAINT uq_disputes_processor_reference UNIQUE (processor_reference),
    CONSTRAINT ck_disputes_amount CHECK (amount > 0),
    CONSTRAINT ck_disputes_status CHECK (
        status IN ('INQUIRY', 'INQUIRY_CLOSED', 'NEEDS_RESPONSE', 'UNDER_REVIEW', 'WON', 'LOST')
    ),
    CONSTRAINT fk_disputes_transaction_id FOREIGN KEY(transaction_id) REFERENCES transactions (id)
);

CREATE INDEX ix_disputes_transaction_id_created_at_id ON disputes (transaction_id, created_at, id);

CREATE TABLE ledger_accounts (
    id UUID NOT NULL,
    kind VARCHAR(32) NOT NULL,
    currency CHAR(3) NOT NULL,
    user_id UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_ledger_accounts PRIMARY KEY (id),
    CONSTRAINT uq_ledger_accounts_kind_currency_user_id UNIQUE NULLS NOT DISTINCT (kind, currency, user_id),
    CONSTRAINT ck_ledger_accounts_user_id CHECK ((kind = 'CUSTOMER') = (user_id IS NOT NULL)),
    CONSTRAINT fk_ledger_accounts_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);

CREATE INDEX ix_ledger_accounts_user_id ON ledger_accounts (user_id);

CREATE TABLE journal_entries (
    id UUID NOT NULL,
    transaction_id UUID NOT NULL,
    kind VARCHAR(32) NOT NULL,
    source VARCHAR(300) NOT NULL,
    refund_id UUID,
    dispute_id UUID,
    lines SMALLINT NOT NULL,
    posted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_journal_entries PRIMARY KEY (id),
    CONSTRAINT uq_journal_entries_transaction_id_kind_source UNIQUE (transaction_id, kind, source),
    CONSTRAINT ck_journal_entries_lines CHECK (lines >= 2),
    CONSTRAINT fk_journal_entries_transaction_id FOREIGN KEY(transaction_id) REFERENCES transactions (id),
    CONSTRAINT fk_journal_entries_refund_id FOREIGN KEY(refund_id) REFERENCES refunds (id),
    CONSTRAINT fk_journal_entries_dispute_id FOREIGN KEY(dispute_id) REFERENCES disputes (id)
);

CREATE INDEX ix_journal_entries_posted_at_id ON journal_entries (posted_at, id);

CREATE INDEX ix_journal_entries_transaction_id_posted_at_id ON journal_entries (transaction_id, posted_at, id);

CREATE INDEX ix_journal_entries_refund_id ON journal_entries (refund_id) WHERE refund_id IS NOT NULL;

CREATE INDEX ix_journal_entries_dispute_id ON journal_entries (dispute_id) WHERE dispute_id IS NOT NULL;

CREATE TABLE ledger_entries (
    entry_id UUID NOT NULL,
    line SMALLINT NOT NULL,
    account_id UUID NOT NULL,
    currency CHAR(3) NOT NULL,
    amount BIGINT NOT NULL,
    posted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_ledger_entries PRIMARY KEY (entry_id, line),
    CONSTRAINT ck_ledger_entries_amount CHECK (amount <> 0),
    CONSTRAINT fk_ledger_entries_entry_id FOREIGN KEY(entry_id) REFERENCES journal_entries (id)
);

CREATE INDEX ix_ledger_entries_account_id_posted_at ON ledger_entries (account_id, posted_at) INCLUDE (amount)
"""

_OPENING = (
    # The same id that the code gives an account: a hash of its kind, currency and user.
    """
CREATE FUNCTION pg_temp.account_id(kind TEXT, currency TEXT, user_id UUID) RETURNS UUID LANGUAGE sql IMMUTABLE AS $$
    SELECT (substr(digits, 1, 12) || '8' || substr(digits, 14, 3) || '8' || substr(digits, 18, 15))::uuid
    FROM encode(sha256(convert_to(
        kind || ':' || currency || ':' || coalesce(replace(user_id::text, '-', ''), ''), 'UTF8'
    )), 'hex') AS digits
$$
""",
    # Kinds and sources are those that the code would have posted, so that no later report posts them again.
    """
CREATE TEMPORARY TABLE opening_entries ON COMMIT DROP AS
SELECT gen_random_uuid() AS id, moved.* FROM (
    SELECT t.id AS transaction_id, CASE t.capture_method WHEN 'MANUAL' THEN 'CAPTURE' ELSE 'CHARGE' END AS kind,
        coalesce(t.processor_reference, t.id::text) AS source, NULL::uuid AS refund_id, t.user_id, t.currency,
        t.captured AS amount, coalesce(completed.at, t.updated_at) AS posted_at
    FROM transactions t LEFT JOIN LATERAL (
        SELECT min(a.at) AS at FROM audit_entries a
        WHERE a.transaction_id = t.id AND a.action = 'transaction.completed'
    ) completed ON true
    WHERE t.captured > 0
    UNION ALL
    SELECT t.id, 'PROCESSOR_FEE', coalesce(t.processor_reference, t.id::text), NULL, t.user_id, t.fee_currency, t.fee,
        t.updated_at
    FROM transactions t WHERE t.fee <> 0
    UNION ALL
    SELECT r.transaction_id, posted.kind, coalesce(r.processor_reference, r.id::text), r.id, t.user_id, r.currency,
        r.amount, r.updated_at
    FROM refunds r JOIN transactions t ON t.id = r.transaction_id
        CROSS JOIN (VALUES ('REFUND'), ('REFUND_SETTLED')) AS posted (kind)
    WHERE r.status = 'COMPLETED'
) moved
""",
    """
CREATE TEMPORARY TABLE opening_lines ON COMMIT DROP AS
SELECT e.id AS entry_id, leg.line, leg.account_kind, e.currency, leg.sign * e.amount AS amount, e.posted_at,
    CASE leg.account_kind WHEN 'CUSTOMER' THEN e.user_id END AS user_id
FROM opening_entries e JOIN (VALUES
    ('CHARGE', 0, 'CUSTOMER', 1), ('CHARGE', 1, 'REVENUE', -1),
    ('CHARGE', 2, 'PROCESSOR_BALANCE', 1), ('CHARGE', 3, 'CUSTOMER', -1),
    ('CAPTURE', 0, 'CUSTOMER', 1), ('CAPTURE', 1, 'REVENUE', -1),
    ('CAPTURE', 2, 'PROCESSOR_BALANCE', 1), ('CAPTURE', 3, 'CUSTOMER', -1),
    ('PROCESSOR_FEE', 0, 'PROCESSOR_FEES', 1), ('PROCESSOR_FEE', 1, 'PROCESSOR_BALANCE', -1),
    ('REFUND', 0, 'CUSTOMER', 1), ('REFUND', 1, 'PROCESSOR_BALANCE', -1),
    ('REFUND_SETTLED', 0, 'REFUNDS', 1), ('REFUND_SETTLED', 1, 'CUSTOMER', -1)
) AS leg (kind, line, account_kind, sign) ON leg.kind = e.kind
""",
    """
INSERT INTO ledger_accounts
SELECT pg_temp.account_id(account_kind, currency, user_id), account_kind, currency, user_id, min(posted_at)
FROM opening_lines GROUP BY account_kind, currency, user_id
""",
    """
INSERT INTO journal_entries (id, transaction_id, kind, source, refund_id, dispute_id, lines, posted_at)
SELECT e.id, e.transaction_id, e.kind, e.source, e.refund_id, NULL,
    (SELECT count(*) FROM opening_lines l WHERE l.entry_id = e.id), e.posted_at
FROM opening_entries e
""",
    """
INSERT INTO ledger_entries (entry_id, line, account_id, currency, amount, posted_at)
SELECT entry_id, line, pg_temp.account_id(account_kind, currency, user_id), currency, amount, posted_at
FROM opening_lines
""",
)

_TRIGGERS = (
    # At commit, so that an entry and its lines may come in any order: it has the lines that it says, they are of accounts in
    # their currency, and they add up to zero in each.
    """
CREATE FUNCTION refuse_unbalanced_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counted BIGINT;
    misplaced BIGINT;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE a.id IS NULL OR l.posted_at <> NEW.posted_at) INTO counted, misplaced
    FROM ledger_entries l LEFT JOIN ledger_accounts a ON a.id = l.account_id AND a.currency = l.currency
    WHERE l.entry_id = NEW.id;
    IF counted <> NEW.lines THEN
        RAISE EXCEPTION 'journal entry % has % lines, not %', NEW.id, counted, NEW.lines
            USING ERRCODE = 'check_violation';
    END IF;
    IF misplaced > 0 THEN
        RAISE EXCEPTION 'journal entry % has lines of no account in their currency, or of another time', NEW.id
            USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM ledger_entries WHERE entry_id = NEW.id GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'journal entry % does not balance', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$
""",
    """
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON journal_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_entry()
""",
    # Once an entry is complete, not even lines that balance may be added to it.
    """
CREATE FUNCTION refuse_surplus_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT entry_id FROM added) touched JOIN journal_entries e ON e.id = touched.entry_id
        WHERE (SELECT count(*) FROM ledger_entries l WHERE l.entry_id = e.id) > e.lines
    ) THEN
        RAISE EXCEPTION 'a journal entry that is complete takes no more lines' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$
""",
    """
CREATE TRIGGER complete AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_surplus_lines()
""",
)


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        op.execute(statement)
    for statement in _OPENING:
        op.execute(statement)
    for statement in _TRIGGERS:
        op.execute(statement)
    for table in ("ledger_accounts", "journal_entries", "ledger_entries"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
