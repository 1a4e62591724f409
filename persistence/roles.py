"""The application's database role: what it may do, and no more.

Migrations run as another role, the tables' owner. So neither a mistake in the application nor somebody who has stolen its
password can change what is only ever added to, or the tables themselves.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256

from sqlalchemy import Connection, Table, bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.engine import autocommitting
from persistence.tables import metadata
from persistence.tables.base import PRIVILEGES

_EVERYTHING = ("SELECT", "INSERT", "UPDATE", "DELETE")
# PostgreSQL's own number (its manual, scram_iterations).
_SCRAM_ITERATIONS = 4096

# Whoever can take the owner's role on can change everything; a superuser is a member of every role.
_CHANGEABLE = text(
    "SELECT c.relname FROM pg_class AS c, coalesce(CAST(:role AS name), current_user) AS role"
    " WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relname IN :names"
    " AND (pg_has_role(role, c.relowner, 'MEMBER') OR has_any_column_privilege(role, c.oid, 'UPDATE')"
    " OR has_table_privilege(role, c.oid, 'DELETE, TRUNCATE, TRIGGER')) ORDER BY c.relname"
).bindparams(bindparam("names", expanding=True))


class RoleMissing(Exception):
    """The role is not there; the message names it."""


class PasswordUnusable(Exception):
    """No role can be created with this password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationRole:
    """The role that API and worker connect as. With a password it is created if it is not there."""

    name: str
    password: str | None = field(default=None, repr=False)


def privileges_of(table: Table) -> tuple[str, ...]:
    """What the application may do with a table: everything with its rows, unless the table says otherwise."""
    found: tuple[str, ...] = table.info.get(PRIVILEGES, _EVERYTHING)
    return found


def grant(connection: Connection, role: ApplicationRole) -> None:
    """Let the role do what the application does with the tables that are there, and take away whatever else it may.

    Raises RoleMissing or PasswordUnusable.
    """
    quoted = connection.dialect.identifier_preparer.quote_identifier
    name, schema = quoted(role.name), quoted(connection.execute(text("SELECT current_schema()")).scalar_one())
    # No parameters can be bound in these, and a name may hold what looks like one.
    execute = connection.exec_driver_sql
    if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": role.name}).first() is None:
        if role.password is None:
            raise RoleMissing(f"The database role {role.name} does not exist.")
        execute(f"CREATE ROLE {name} LOGIN PASSWORD '{_scram_verifier(role.password)}'")
    # A temporary table hides the real one of its name, also from triggers that look something up there.
    database = quoted(connection.execute(text("SELECT current_database()")).scalar_one())
    execute(f"REVOKE ALL ON DATABASE {database} FROM {name}")
    execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    execute(f"GRANT CONNECT ON DATABASE {database} TO {name}")
    # Before PostgreSQL 15 everybody could create tables in the schema `public`, and an upgrade leaves it so.
    execute(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC")
    execute(f"REVOKE ALL ON SCHEMA {schema} FROM {name}")
    execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}")
    execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    execute(f"GRANT SELECT ON alembic_version TO {name}")
    # Nothing is granted on sequences: those of identity columns ask for no right of their own.
    for table in metadata.tables.values():
        execute(f"GRANT {', '.join(privileges_of(table))} ON {quoted(table.name)} TO {name}")


async def changeable_by(engine: AsyncEngine, role: str | None = None) -> list[str]:
    """The tables whose rows a role could change although it should not; of the engine's own role unless one is named.

    Raises domain.errors.Unavailable.
    """
    names = [table.name for table in metadata.tables.values() if "UPDATE" not in privileges_of(table)]
    async with autocommitting(engine) as connection:
        found = await connection.execute(_CHANGEABLE, {"role": role, "names": names})
        return list(found.scalars())


def _scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of a password (RFC 5803), so that the password itself is in no statement and no server's log.

    Raises PasswordUnusable for one with other than ASCII characters, which would have to be normalized first.
    """
    if not password.isascii() or not password.isprintable():
        raise PasswordUnusable("The password of the application's role may hold printable ASCII characters only.")
    salt = secrets.token_bytes(16)
    salted = pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored = sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
