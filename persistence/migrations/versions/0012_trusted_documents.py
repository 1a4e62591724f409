"""Trusted documents: what frontends may ask."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
CREATE TABLE trusted_documents (
    digest BYTEA NOT NULL,
    name VARCHAR(255) NOT NULL,
    text TEXT NOT NULL,
    capabilities VARCHAR(64)[],
    registered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_trusted_documents PRIMARY KEY (digest),
    CONSTRAINT ck_trusted_documents_digest CHECK (digest = sha256(convert_to(text, 'UTF8')))
)
"""
    )


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
