"""Users for whom an identity provider vouches."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
CREATE TABLE identities (
    issuer VARCHAR(512) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user_id UUID NOT NULL,
    granted_role VARCHAR(16),
    granted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_identities PRIMARY KEY (issuer, subject),
    CONSTRAINT ck_identities_granted_role CHECK (granted_role IN ('CUSTOMER', 'SUPPORT', 'ADMIN')),
    CONSTRAINT fk_identities_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
""",
    "CREATE INDEX ix_identities_user_id ON identities (user_id)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
