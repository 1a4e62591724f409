"""The application's database role: it can do what the application does, and the database refuses it everything else."""

import secrets
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from sqlalchemy import delete, exc, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.engine import open_engine
from persistence.roles import ApplicationRole, PasswordUnusable, RoleMissing, changeable_by, privileges_of
from persistence.schema import migrate
from persistence.tables import metadata
from tests.support.database import as_owner, patient_config, rows
from tests.support.postgres import another_database

ONLY_ADDED_TO = sorted(table.name for table in metadata.sorted_tables if privileges_of(table) == ("SELECT", "INSERT"))
ONLY_READ = sorted(table.name for table in metadata.sorted_tables if privileges_of(table) == ("SELECT",))

# Everything that would undo the guards, tried as the role itself.
_OF_EACH = """
DELETE FROM {table}
TRUNCATE {table}
TRUNCATE {table} CASCADE
DROP TABLE {table} CASCADE
ALTER TABLE {table} DISABLE TRIGGER ALL
ALTER TABLE {table} ADD COLUMN more integer
ALTER TABLE {table} OWNER TO CURRENT_USER
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE
"""
_OF_ONE = """
INSERT INTO audit_links SELECT * FROM audit_links
INSERT INTO audit_heads SELECT * FROM audit_heads
INSERT INTO transaction_edges SELECT * FROM transaction_edges
DROP TRIGGER append_only ON audit_entries
DROP TRIGGER link ON audit_entries
UPDATE audit_entries SET details = '{}'
UPDATE audit_links SET hash = ''
UPDATE audit_heads SET length = 0
UPDATE transaction_edges SET to_status = from_status
UPDATE alembic_version SET version_num = '0001'
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
DROP FUNCTION link_audit_entry() CASCADE
CREATE TABLE mine (number integer)
CREATE TEMPORARY TABLE transaction_edges (from_status text, to_status text)
TRUNCATE transactions CASCADE
DROP TABLE users CASCADE
ALTER TABLE transactions DISABLE TRIGGER legal_edges
CREATE ROLE another
SET session_replication_role = replica
"""
REFUSED = [
    *(line.format(table=table) for table in [*ONLY_ADDED_TO, *ONLY_READ] for line in _OF_EACH.strip().splitlines()),
    *_OF_ONE.strip().splitlines(),
]


@pytest.fixture
async def role(database_url: str, engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """An engine as a role that has what the application has, and unlike that of the tests no way to more."""
    name, password = f"florin_test_{secrets.token_hex(6)}", secrets.token_hex(16)
    owner = open_engine(patient_config(database_url))
    await migrate(owner, application=ApplicationRole(name=name, password=password))
    address = urlsplit(database_url)
    own = open_engine(
        patient_config(address._replace(netloc=f"{name}:{password}@{address.netloc.rpartition('@')[2]}").geturl())
    )
    yield own
    await own.dispose()
    async with owner.begin() as connection:
        await connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"))
        await connection.execute(text(f"REVOKE ALL ON SCHEMA public FROM {name}"))
        await connection.execute(text(f"REVOKE ALL ON DATABASE {address.path.removeprefix('/')} FROM {name}"))
        await connection.execute(text(f"DROP ROLE {name}"))
    await owner.dispose()


def test_the_guarded_tables_are_these() -> None:
    assert {"audit_entries", "journal_entries", "ledger_accounts", "ledger_entries"} <= set(ONLY_ADDED_TO)
    assert {"audit_heads", "audit_links", "transaction_edges"} <= set(ONLY_READ)


async def test_the_database_refuses_the_role_every_change_of_what_is_guarded(role: AsyncEngine) -> None:
    for statement in REFUSED:
        with pytest.raises(exc.ProgrammingError) as caught:
            async with role.begin() as connection:
                await connection.execute(text(statement))
        assert getattr(caught.value.orig, "sqlstate", None) == "42501", statement
    # PostgreSQL only warns of a grant of what one may not grant.
    async with role.begin() as connection:
        await connection.execute(text("GRANT ALL ON audit_entries TO CURRENT_USER"))
    assert await changeable_by(role) == []


async def test_the_role_has_exactly_the_rights_that_the_tables_name(role: AsyncEngine) -> None:
    found = await rows(
        role,
        "SELECT c.relname, p FROM pg_class AS c,"
        " unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER']) AS p"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"
        " AND has_table_privilege(c.oid, p)",
    )
    wanted = {(table.name, privilege) for table in metadata.sorted_tables for privilege in privileges_of(table)}
    assert set(found) == wanted | {("alembic_version", "SELECT")}
    assert await changeable_by(role) == []


async def test_tables_that_are_only_added_to_are_guarded_by_a_trigger_as_well(engine: AsyncEngine) -> None:
    """So that not even their owner changes them by mistake."""
    for table in ONLY_ADDED_TO:
        guarded = metadata.tables[table]
        changed = update(guarded).values({column: column for column in guarded.primary_key})
        for change in (changed, delete(guarded), text(f"TRUNCATE {table} CASCADE")):
            with pytest.raises(exc.IntegrityError, match="is refused"):
                async with as_owner(engine) as connection:
                    await connection.execute(change)


async def test_migrating_again_takes_away_what_was_granted_since(role: AsyncEngine, database_url: str) -> None:
    [(name,)] = await rows(role, "SELECT current_user")
    owner = open_engine(patient_config(database_url))
    async with owner.begin() as connection:
        await connection.execute(text(f"GRANT ALL ON audit_links, audit_entries TO {name}"))
        await connection.execute(text(f"GRANT UPDATE (hash) ON audit_heads TO {name}"))
    assert await changeable_by(role) == ["audit_entries", "audit_heads", "audit_links"]
    await migrate(owner, application=ApplicationRole(name=str(name)))
    assert await changeable_by(owner, str(name)) == []
    assert "audit_entries" in await changeable_by(owner)
    await owner.dispose()


async def test_a_role_that_is_not_there_is_named(database_url: str, migrated_engine: AsyncEngine) -> None:
    owner = open_engine(patient_config(database_url))
    with pytest.raises(RoleMissing, match=r"^The database role nobody_of_this_name does not exist\.$"):
        await migrate(owner, application=ApplicationRole(name="nobody_of_this_name"))
    await owner.dispose()


async def test_a_role_is_created_with_the_password_that_was_given(database_url: str) -> None:
    name, password = f'Florin "{secrets.token_hex(4)}', f"p@ss:w/rd%'\" {secrets.token_hex(4)}"
    async with another_database(database_url) as url:
        owner = open_engine(patient_config(url))
        for given in (password, "another, which an existing role does not get"):
            await migrate(owner, application=ApplicationRole(name=name, password=given))
        address = urlsplit(url)
        netloc = f"{quote(name, safe='')}:{quote(password, safe='')}@{address.netloc.rpartition('@')[2]}"
        connection = await asyncpg.connect(address._replace(netloc=netloc).geturl())
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        assert await connection.fetchval("SELECT current_user") == name
        await connection.close()
        with pytest.raises(PasswordUnusable, match="printable ASCII"):
            await migrate(owner, application=ApplicationRole(name="florin_umlaut", password="pässword"))
        assert await rows(owner, "SELECT 1 FROM pg_roles WHERE rolname = 'florin_umlaut'") == []
        await owner.dispose()
    connection = await asyncpg.connect(database_url)
    quoted = name.replace('"', '""')
    await connection.execute(f'DROP ROLE "{quoted}"')
    await connection.close()
