"""The webhook inbox: an id of its own for the API, the account, parking, the transaction, and an index for each filter."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
ALTER TABLE webhook_events
    ADD COLUMN public_id UUID GENERATED ALWAYS AS (CAST(md5(id) AS uuid)) STORED NOT NULL,
    ADD COLUMN account VARCHAR(255),
    ADD COLUMN failures INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN transaction_id UUID,
    DROP CONSTRAINT ck_webhook_events_state,
    ADD CONSTRAINT ck_webhook_events_state
        CHECK (state IN ('RECEIVED', 'APPLIED', 'IGNORED', 'QUARANTINED', 'PARKED'))
""",
    "ALTER TABLE webhook_events ALTER COLUMN failures DROP DEFAULT",
    "CREATE UNIQUE INDEX uq_webhook_events_public_id ON webhook_events (public_id)",
    "CREATE INDEX ix_webhook_events_received_at_public_id ON webhook_events (received_at, public_id)",
    "CREATE INDEX ix_webhook_events_state_received_at_public_id ON webhook_events (state, received_at, public_id)",
    "CREATE INDEX ix_webhook_events_type_received_at_public_id ON webhook_events (type, received_at, public_id)",
    """
CREATE INDEX ix_webhook_events_reference_received_at_public_id ON webhook_events (reference, received_at, public_id)
""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
