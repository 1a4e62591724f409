"""Trusted documents in the database, put there as their deployment does."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Capability
from tests.support.database import as_owner


async def register(
    engine: AsyncEngine,
    document: str,
    name: str = "a document",
    capabilities: list[Capability] | None = None,
    cost_max: int | None = None,
) -> str:
    """Register a document as the tables' owner; its hash."""
    async with as_owner(engine) as connection:
        found = await connection.execute(
            text(
                "INSERT INTO trusted_documents (digest, name, text, capabilities, cost_max, registered_at)"
                " VALUES (sha256(convert_to(:text, 'UTF8')), :name, :text, :capabilities, :cost_max, now())"
                " RETURNING encode(digest, 'hex')"
            ),
            {"text": document, "name": name, "capabilities": capabilities, "cost_max": cost_max},
        )
        return str(found.scalar_one())


async def unregister(engine: AsyncEngine) -> None:
    async with as_owner(engine) as connection:
        await connection.execute(text("DELETE FROM trusted_documents"))
