"""Reconciliation: discrepancies between the processor and us, and the runs that find them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
CREATE TABLE discrepancies (
    id UUID NOT NULL,
    kind VARCHAR(32) NOT NULL,
    subject_kind VARCHAR(16) NOT NULL,
    reference VARCHAR(255) NOT NULL,
    transaction_id UUID,
    processor_amount BIGINT,
    processor_currency CHAR(3),
    our_amount BIGINT,
    our_currency CHAR(3),
    summary TEXT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    resolution VARCHAR(16),
    resolved_by UUID,
    reason TEXT,
    CONSTRAINT pk_discrepancies PRIMARY KEY (id),
    CONSTRAINT ck_discrepancies_subject_kind CHECK (subject_kind IN ('CHARGE', 'REFUND', 'DISPUTE', 'LEDGER')),
    CONSTRAINT ck_discrepancies_resolution CHECK (resolution IN ('CURED', 'NO_LONGER_SEEN', 'BY_PERSON')),
    CONSTRAINT ck_discrepancies_resolved_at CHECK ((resolved_at IS NULL) = (resolution IS NULL)),
    CONSTRAINT ck_discrepancies_resolved_by CHECK (
        (coalesce(resolution, '') = 'BY_PERSON') = (resolved_by IS NOT NULL AND reason IS NOT NULL)
    ),
    CONSTRAINT fk_discrepancies_transaction_id FOREIGN KEY(transaction_id) REFERENCES transactions (id),
    CONSTRAINT fk_discrepancies_resolved_by FOREIGN KEY(resolved_by) REFERENCES users (id)
)
""",
    """
CREATE UNIQUE INDEX uq_discrepancies_open ON discrepancies (kind, subject_kind, reference) WHERE resolved_at IS NULL
""",
    "CREATE INDEX ix_discrepancies_first_seen_at_id ON discrepancies (first_seen_at, id)",
    "CREATE INDEX ix_discrepancies_subject_kind_reference ON discrepancies (subject_kind, reference)",
    "CREATE INDEX ix_discrepancies_transaction_id ON discrepancies (transaction_id)",
    "CREATE INDEX ix_discrepancies_waiting ON discrepancies (last_seen_at) WHERE resolved_at IS NULL",
    """
CREATE TABLE reconciliation_runs (
    id UUID NOT NULL,
    state VARCHAR(16) NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    window_end TIMESTAMP WITH TIME ZONE NOT NULL,
    cursor TIMESTAMP WITH TIME ZONE NOT NULL,
    charges BIGINT NOT NULL,
    refunds BIGINT NOT NULL,
    disputes BIGINT NOT NULL,
    balance_entries BIGINT NOT NULL,
    transactions BIGINT NOT NULL,
    foreign_charges BIGINT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_reconciliation_runs PRIMARY KEY (id),
    CONSTRAINT ck_reconciliation_runs_state CHECK (state IN ('RUNNING', 'DONE', 'ABANDONED')),
    CONSTRAINT ck_reconciliation_runs_cursor CHECK (cursor BETWEEN window_start AND window_end)
)
""",
    """
CREATE UNIQUE INDEX uq_reconciliation_runs_running ON reconciliation_runs (window_start, window_end)
    WHERE state = 'RUNNING'
""",
    """
CREATE TABLE reconciliation_findings (
    run_id UUID NOT NULL,
    discrepancy_id UUID NOT NULL,
    CONSTRAINT pk_reconciliation_findings PRIMARY KEY (run_id, discrepancy_id),
    CONSTRAINT fk_reconciliation_findings_run_id FOREIGN KEY(run_id) REFERENCES reconciliation_runs (id),
    CONSTRAINT fk_reconciliation_findings_discrepancy_id FOREIGN KEY(discrepancy_id) REFERENCES discrepancies (id)
)
""",
    "CREATE INDEX ix_reconciliation_findings_discrepancy_id ON reconciliation_findings (discrepancy_id)",
    # What we have of a span of time is looked for in one statement.
    "CREATE INDEX ix_refunds_created_at ON refunds (created_at)",
    "CREATE INDEX ix_disputes_created_at ON disputes (created_at)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
