"""What all tables share: their registry, with names for every constraint, and a kind of column."""

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


def moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    """A point in time, with its zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable)
