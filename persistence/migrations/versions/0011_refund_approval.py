"""Refunds that wait for the approval of a second person."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE refunds ADD COLUMN decided_by UUID",
    "ALTER TABLE refunds ADD COLUMN decided_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE refunds ADD CONSTRAINT fk_refunds_decided_by FOREIGN KEY(decided_by) REFERENCES users (id)",
    "ALTER TABLE refunds ADD CONSTRAINT ck_refunds_decided_by CHECK (decided_by <> requested_by)",
    "ALTER TABLE refunds DROP CONSTRAINT ck_refunds_status",
    """
ALTER TABLE refunds ADD CONSTRAINT ck_refunds_status
    CHECK (status IN ('PENDING_APPROVAL', 'PENDING', 'COMPLETED', 'FAILED', 'REJECTED'))
""",
    "DROP INDEX ix_refunds_created_at",
    "CREATE INDEX ix_refunds_created_at_id ON refunds (created_at, id)",
    "CREATE INDEX ix_refunds_waiting ON refunds (created_at, id) WHERE status = 'PENDING_APPROVAL'",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
