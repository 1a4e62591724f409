"""Attempts remember for which reason somebody was last told to look at them."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN alerted_as VARCHAR(16)")


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
