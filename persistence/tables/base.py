"""What all tables share: their registry, with names for every constraint, a kind of column, and what may be done to them."""

from datetime import datetime

from sqlalchemy import Column, DateTime, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

PRIVILEGES = "privileges"
"""In a table's `info`: what the application's database role may do with its rows, where that is not everything."""

ONLY_ADDED_TO = {PRIVILEGES: ("SELECT", "INSERT")}
NEVER_DELETED = {PRIVILEGES: ("SELECT", "INSERT", "UPDATE")}
ONLY_READ = {PRIVILEGES: ("SELECT",)}


def moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    """A point in time, with its zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable)
