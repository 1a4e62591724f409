"""Attempts that kill their workers are parked; they remember why they fence off a charge, and since when they are unknown."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
ALTER TABLE attempts
    ADD COLUMN unreported_claims INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN failure_code VARCHAR(64),
    ADD COLUMN failure_message TEXT,
    ADD COLUMN failure_decline_code VARCHAR(64),
    ADD COLUMN failure_retryable BOOLEAN,
    ADD COLUMN failure_refusal VARCHAR(64),
    ADD COLUMN unknown_since TIMESTAMP WITH TIME ZONE,
    DROP CONSTRAINT ck_attempts_state,
    ADD CONSTRAINT ck_attempts_state CHECK (state IN ('OPEN', 'DONE', 'MANUAL', 'PARKED'))
""",
    "ALTER TABLE attempts ALTER COLUMN unreported_claims DROP DEFAULT",
    "UPDATE attempts SET first_sent_at = last_checked_at WHERE first_sent_at IS NULL",
    "ALTER TABLE attempts ALTER COLUMN first_sent_at SET NOT NULL",
    "CREATE INDEX ix_attempts_left ON attempts (transaction_id) WHERE state IN ('MANUAL', 'PARKED')",
    "CREATE INDEX ix_attempts_unknown ON attempts (unknown_since) WHERE state = 'OPEN' AND unknown_since IS NOT NULL",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
