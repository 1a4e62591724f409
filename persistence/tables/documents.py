"""The table of trusted documents."""

from sqlalchemy import CheckConstraint, Column, Integer, LargeBinary, String, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from persistence.tables.base import ONLY_READ, metadata, moment

# Written by whoever deploys, as the role that owns the tables: nobody who gets at the application adds one.
trusted_documents = Table(
    "trusted_documents",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("text", Text, nullable=False),
    Column("capabilities", ARRAY(String(64))),
    Column("cost_max", Integer),
    moment("registered_at"),
    CheckConstraint("cost_max > 0", name="cost_max"),
    CheckConstraint("digest = sha256(convert_to(text, 'UTF8'))", name="digest"),
    info=ONLY_READ,
)
