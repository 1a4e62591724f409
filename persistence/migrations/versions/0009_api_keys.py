"""API keys."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
CREATE TABLE api_keys (
    id UUID NOT NULL,
    owner_id UUID NOT NULL,
    name VARCHAR(100) NOT NULL,
    digest BYTEA NOT NULL,
    prefix VARCHAR(32) NOT NULL,
    scopes VARCHAR(64)[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT uq_api_keys_digest UNIQUE (digest),
    CONSTRAINT ck_api_keys_digest CHECK (octet_length(digest) = 32),
    CONSTRAINT fk_api_keys_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
)
""",
    "CREATE INDEX ix_api_keys_created_at_id ON api_keys (created_at, id)",
    "CREATE INDEX ix_api_keys_owner_id ON api_keys (owner_id)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
