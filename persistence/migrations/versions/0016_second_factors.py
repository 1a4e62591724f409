"""A second factor for whoever wants one: its secret, encrypted, and recovery codes as hashes."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
CREATE TABLE second_factors (
    user_id UUID NOT NULL,
    sealed_secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_step BIGINT NOT NULL,
    CONSTRAINT pk_second_factors PRIMARY KEY (user_id),
    CONSTRAINT fk_second_factors_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
""",
    """
CREATE TABLE recovery_codes (
    user_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, digest),
    CONSTRAINT fk_recovery_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
