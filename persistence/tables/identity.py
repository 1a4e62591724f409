"""The tables of identity: users, who they are elsewhere, their sessions, and the API keys that act for them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from persistence.tables.base import NEVER_DELETED, metadata, moment

users = Table(
    "users",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    moment("created_at"),
    moment("email_verified_at", nullable=True),
    moment("disabled_at", nullable=True),
    CheckConstraint("role IN ('CUSTOMER', 'SUPPORT', 'ADMIN')", name="role"),
    Index("uq_users_email_lower", func.lower(text("email")), unique=True),
    Index("ix_users_created_at_id", "created_at", "id"),
    Index("ix_users_role_created_at_id", "role", "created_at", "id"),
    Index("ix_users_disabled", "created_at", "id", postgresql_where=text("disabled_at IS NOT NULL")),
)

# Whom identity providers vouch for, by what they call them (issuer and subject), which never changes hands as addresses do.
identities = Table(
    "identities",
    metadata,
    Column("issuer", String(512), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("granted_role", String(16)),
    moment("granted_at"),
    moment("created_at"),
    CheckConstraint("granted_role IN ('CUSTOMER', 'SUPPORT', 'ADMIN')", name="granted_role"),
    Index("ix_identities_user_id", "user_id"),
    info=NEVER_DELETED,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("user_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("second_factor", Boolean, nullable=False),
    Column("client", String(200)),
    moment("created_at"),
    moment("last_used_at"),
    moment("expires_at"),
    moment("revoked_at", nullable=True),
    CheckConstraint("kind IN ('SIGN_IN', 'COMMAND_LINE')", name="kind"),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("owner_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("name", String(100), nullable=False),
    # SHA-256 of the whole key; the key itself is kept nowhere.
    Column("digest", LargeBinary, nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("scopes", ARRAY(String(64)), nullable=False),
    moment("created_at"),
    moment("expires_at", nullable=True),
    moment("last_used_at", nullable=True),
    moment("revoked_at", nullable=True),
    UniqueConstraint("digest"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    Index("ix_api_keys_created_at_id", "created_at", "id"),
    Index("ix_api_keys_owner_id", "owner_id"),
    info=NEVER_DELETED,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    # Its hash; the token itself is stored nowhere. Those that were used stay, because one that comes again ends the session.
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", UUID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    moment("issued_at"),
    moment("used_at", nullable=True),
    Index("ix_refresh_tokens_session_id", "session_id"),
)

# Apart from the users, whom many places read: nothing that shows a user can show a hash.
credentials = Table(
    "credentials",
    metadata,
    Column("user_id", UUID, ForeignKey("users.id"), primary_key=True),
    Column("password_hash", String(255), nullable=False),
    moment("changed_at"),
)

sign_ups = Table(
    "sign_ups",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("password_hash", String(255), nullable=False),
    moment("created_at"),
    moment("expires_at"),
    Index("ix_sign_ups_email_lower", func.lower(text("email"))),
    Index("ix_sign_ups_expires_at", "expires_at"),
)

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("sign_up_id", UUID, ForeignKey("sign_ups.id", ondelete="CASCADE")),
    Column("user_id", UUID, ForeignKey("users.id")),
    moment("created_at"),
    moment("expires_at"),
    CheckConstraint("purpose IN ('SIGN_UP', 'VERIFY_EMAIL', 'RESET_PASSWORD')", name="purpose"),
    CheckConstraint(
        "(purpose = 'SIGN_UP') = (sign_up_id IS NOT NULL) AND (purpose = 'SIGN_UP') = (user_id IS NULL)", name="about"
    ),
    Index("ix_one_time_tokens_user_id", "user_id"),
    Index("ix_one_time_tokens_sign_up_id", "sign_up_id"),
    Index("ix_one_time_tokens_expires_at", "expires_at"),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("user_id", UUID, ForeignKey("users.id"), primary_key=True),
    # Encrypted, with a key that is not in the database: it must be read again, so that a hash would not do.
    Column("sealed_secret", LargeBinary, nullable=False),
    moment("created_at"),
    moment("confirmed_at", nullable=True),
    Column("last_step", BigInteger, nullable=False),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("user_id", "digest"),
)

# Of people who came back from a provider, for the minute until the frontend exchanges them.
sign_in_codes = Table(
    "sign_in_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_id", UUID, ForeignKey("users.id"), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("challenge", String(43), nullable=False),
    Column("second_factor", Boolean, nullable=False),
    moment("expires_at"),
    Index("ix_sign_in_codes_expires_at", "expires_at"),
)
