"""The table of the worker's sweeps."""

from sqlalchemy import Column, Integer, String, Table

from persistence.tables.base import metadata, moment

sweeps = Table(
    "sweeps",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("runs", Integer, nullable=False),
    moment("next_run_at"),
    moment("lease_until", nullable=True),
    moment("started_at", nullable=True),
    moment("finished_at", nullable=True),
    moment("mark", nullable=True),
)
