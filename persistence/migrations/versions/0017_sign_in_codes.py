"""People sign in by an identity provider."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
CREATE TABLE sign_in_codes (
    digest BYTEA NOT NULL,
    user_id UUID NOT NULL,
    provider VARCHAR(32) NOT NULL,
    challenge VARCHAR(43) NOT NULL,
    second_factor BOOLEAN NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sign_in_codes PRIMARY KEY (digest),
    CONSTRAINT fk_sign_in_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
""",
    "CREATE INDEX ix_sign_in_codes_expires_at ON sign_in_codes (expires_at)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
