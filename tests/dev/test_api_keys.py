"""`florin api-keys` as a process: a key that is made, listed and revoked."""

from collections.abc import AsyncIterator, Mapping

import pytest

from domain.identity.key_text import is_key
from persistence.engine import open_engine
from persistence.schema import migrate
from tests.support.commands import florin
from tests.support.database import patient_config, rows
from tests.support.postgres import another_database


@pytest.fixture
async def settings(database_url: str) -> AsyncIterator[Mapping[str, str]]:
    """The settings of a database with one customer in it."""
    async with another_database(database_url) as url:
        engine = open_engine(patient_config(url))
        await migrate(engine)
        await engine.dispose()
        found = {"DATABASE_URL": url, "STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_API_BASE": "http://127.0.0.1:9"}
        assert florin("users add ada@example.com --name Ada", found).returncode == 0
        yield found


async def test_a_key_is_made_listed_and_revoked(settings: Mapping[str, str]) -> None:
    made = florin("api-keys create ada@example.com --name shop --scope payments:create --scope payments:read", settings)
    assert made.returncode == 0, made.stderr
    key = made.stdout.removesuffix("\n")
    assert is_key(key, live=False)
    listed = florin("api-keys list", settings).stdout
    assert key not in listed
    key_id, prefix, email, scopes, *rest = listed.split()
    assert key.startswith(prefix.removesuffix("..."))
    assert (email, scopes) == ("ada@example.com", "payments:create,payments:read")
    assert " ".join(rest) == "no expiry never used shop"
    revoked = florin(f"api-keys revoke {key_id}", settings)
    assert revoked.stdout == f"{prefix} (shop) is revoked.\n"
    assert florin("api-keys list", settings).stdout == ""
    engine = open_engine(patient_config(settings["DATABASE_URL"]))
    found = await rows(engine, "SELECT action, actor_kind FROM audit_entries ORDER BY number")
    await engine.dispose()
    assert found == [("api_key.created", "SYSTEM"), ("api_key.revoked", "SYSTEM")]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("api-keys create bob@example.com --name x --scope payments:read", "There is no user bob@example.com."),
        ("api-keys create ada@example.com --name x --scope ledger:read", "The key's owner does not have ledger:read."),
        ("api-keys create ada@example.com --name x --scope keys:manage", "that is for people alone."),
        ("api-keys revoke key_1", "There is no API key key_1."),
    ],
)
async def test_what_cannot_be_is_said_in_a_line(settings: Mapping[str, str], command: str, says: str) -> None:
    refused = florin(command, settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("florin: ")
    assert says in refused.stderr
