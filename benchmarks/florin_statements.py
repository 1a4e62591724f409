"""The statements that Florin's readers really send, taken from PostgreSQL's log, so that another server can be given them."""

import re
from collections.abc import Mapping
from contextlib import ExitStack

import asyncpg
import orjson

from app.embedded_postgres import EmbeddedPostgres
from benchmarks import florin
from benchmarks.database import Database
from benchmarks.load import ask
from benchmarks.operations import florin_requests

_EXECUTED = re.compile(r"LOG:  execute [^:]+: ((?:(?!LOG:  ).)*?)\n[^\n]*DETAIL:  Parameters: ([^\n]*)\n", re.DOTALL)
_PARAMETER = re.compile(r"\$\d+ = (?:'([^']*)'|NULL)")


class UnknownStatement(Exception):
    """Florin reads in another way than the other server can be told."""


async def captured(server: EmbeddedPostgres, data: Database) -> str:
    """As JSON: `one`, `page`, `users` and `audit`, each with its text and what its parameters are. Raises UnknownStatement."""
    admin = await asyncpg.connect(data.admin_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
    found: dict[str, Mapping[str, object]] = {}
    try:
        with ExitStack() as stack:
            processor = stack.enter_context(florin.sandbox()).url
            program = stack.enter_context(florin.serving("florin-logged", data, processor))
            for operation, role in (("Q1", "one"), ("Q2", "page")):
                begun = server.log_file.stat().st_size
                await ask(program.url, florin_requests(operation, data, florin.access_tokens, "")())
                for text, parameters in _EXECUTED.findall(server.log_file.read_text()[begun:]):
                    of = _role(text, role)
                    if of is not None:
                        kinds = [_kind(value, data) for value in _PARAMETER.findall(parameters)]
                        found[of] = {"text": text, "parameters": kinds}
    finally:
        await admin.execute(f'ALTER DATABASE "{name}" RESET log_statement')
        await admin.close()
    if found.keys() != {"one", "page", "users", "audit"}:
        raise UnknownStatement(f"Only these were found: {sorted(found)}")
    return orjson.dumps(found).decode()


def _role(text: str, of_transactions: str) -> str | None:
    """What a statement reads; None where it has to do with who asks, or is the driver's own about types."""
    if "audit_entries" in text:
        return "audit"
    columns = text.removeprefix("SELECT ").removeprefix("wanted.place, ")
    if columns.startswith("users."):
        return "users"
    if columns.startswith("transactions."):
        return of_transactions
    if any(word in text for word in ("sessions", "pg_catalog", "set_config")):
        return None
    raise UnknownStatement(text[:500])


def _kind(value: str, data: Database) -> str | int:
    """What a parameter is, by its value in requests of the first customer. Raises UnknownStatement."""
    user_id = str(data.payers[0].user_id)
    if value == user_id:
        return "user"
    # The owner of each id that is asked for, or the users themselves.
    if set(value.strip("{}").split(",")) == {user_id}:
        return "users"
    if value.isdigit():
        return int(value)
    if value.startswith("{018f"):
        return "transactions"
    raise UnknownStatement(f"a parameter {value[:100]}")
