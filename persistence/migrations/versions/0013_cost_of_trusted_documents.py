"""Trusted documents may be given a cost of their own."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE trusted_documents ADD COLUMN cost_max INTEGER,"
        " ADD CONSTRAINT ck_trusted_documents_cost_max CHECK (cost_max > 0)"
    )


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
