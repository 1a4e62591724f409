"""Sweeps: when each of the worker's rounds ran, and runs again."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
CREATE TABLE sweeps (
    name VARCHAR(64) NOT NULL,
    runs INTEGER NOT NULL,
    next_run_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    mark TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_sweeps PRIMARY KEY (name)
)
"""
    )


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
