"""People sign up and in by themselves: passwords, refresh tokens, tokens in mails, and the mails that wait to be sent."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
CREATE TABLE credentials (
    user_id UUID NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_credentials PRIMARY KEY (user_id),
    CONSTRAINT fk_credentials_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
""",
    """
CREATE TABLE refresh_tokens (
    digest BYTEA NOT NULL,
    session_id UUID NOT NULL,
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_refresh_tokens PRIMARY KEY (digest),
    CONSTRAINT fk_refresh_tokens_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE CASCADE
)
""",
    "CREATE INDEX ix_refresh_tokens_session_id ON refresh_tokens (session_id)",
    """
CREATE TABLE sign_ups (
    id UUID NOT NULL,
    email VARCHAR(320) NOT NULL,
    name VARCHAR(200) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sign_ups PRIMARY KEY (id)
)
""",
    "CREATE INDEX ix_sign_ups_email_lower ON sign_ups (lower(email))",
    "CREATE INDEX ix_sign_ups_expires_at ON sign_ups (expires_at)",
    """
CREATE TABLE one_time_tokens (
    digest BYTEA NOT NULL,
    purpose VARCHAR(16) NOT NULL,
    sign_up_id UUID,
    user_id UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_one_time_tokens PRIMARY KEY (digest),
    CONSTRAINT ck_one_time_tokens_purpose CHECK (purpose IN ('SIGN_UP', 'VERIFY_EMAIL', 'RESET_PASSWORD')),
    CONSTRAINT ck_one_time_tokens_about CHECK (
        (purpose = 'SIGN_UP') = (sign_up_id IS NOT NULL) AND (purpose = 'SIGN_UP') = (user_id IS NULL)
    ),
    CONSTRAINT fk_one_time_tokens_sign_up_id FOREIGN KEY(sign_up_id) REFERENCES sign_ups (id) ON DELETE CASCADE,
    CONSTRAINT fk_one_time_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
""",
    "CREATE INDEX ix_one_time_tokens_user_id ON one_time_tokens (user_id)",
    "CREATE INDEX ix_one_time_tokens_sign_up_id ON one_time_tokens (sign_up_id)",
    "CREATE INDEX ix_one_time_tokens_expires_at ON one_time_tokens (expires_at)",
    """
CREATE TABLE mails (
    id UUID NOT NULL,
    kind VARCHAR(32) NOT NULL,
    recipient VARCHAR(320) NOT NULL,
    sign_up_id UUID,
    user_id UUID,
    state VARCHAR(16) NOT NULL,
    reason TEXT,
    tries INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_try_at TIMESTAMP WITH TIME ZONE NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_mails PRIMARY KEY (id),
    CONSTRAINT ck_mails_state CHECK (state IN ('WAITING', 'SENT', 'SKIPPED', 'FAILED'))
)
""",
    "CREATE INDEX ix_mails_due ON mails (next_try_at) WHERE state = 'WAITING'",
    "CREATE INDEX ix_mails_settled_at ON mails (settled_at)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("Florin's migrations only go forward; restore a backup instead.")
