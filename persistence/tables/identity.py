"""The table of users."""

from sqlalchemy import CheckConstraint, Column, Index, String, Table, func, text
from sqlalchemy.dialects.postgresql import UUID

from persistence.tables.base import metadata, moment

users = Table(
    "users",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    moment("created_at"),
    CheckConstraint("role IN ('CUSTOMER', 'SUPPORT', 'ADMIN')", name="role"),
    Index("uq_users_email_lower", func.lower(text("email")), unique=True),
)
