"""`florin ledger verify` as a process: what it prints, and what it prints where something does not agree."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from domain.ids import IdKind, TransactionId, encode
from persistence.engine import open_engine
from persistence.schema import migrate
from tests.support.acts import Acts
from tests.support.commands import florin
from tests.support.database import patient_config
from tests.support.postgres import another_database


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[tuple[str, list[TransactionId]]]:
    """A migrated database with three payments."""
    async with another_database(database_url) as url:
        engine = open_engine(patient_config(url))
        await migrate(engine)
        acts = Acts(engine=engine)
        payer = await acts.add_actor()
        paid = [(await acts.paid(payer, f"key-{number}")).id for number in range(3)]
        await engine.dispose()
        yield url, paid


async def test_verify_says_that_all_is_well(books: tuple[str, list[TransactionId]]) -> None:
    url, _ = books
    verified = florin("ledger verify", {"DATABASE_URL": url})
    assert verified.returncode == 0
    assert verified.stdout == "6 entries in 4 accounts add up, and agree with 3 transactions.\n"
    assert verified.stderr.splitlines() == [
        "florin: 6 of 6 entries checked",
        "florin: 3 of 3 transactions checked",
    ]


async def test_verify_names_what_does_not_agree(books: tuple[str, list[TransactionId]]) -> None:
    url, paid = books
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE transactions SET captured = 900 WHERE id = $1", paid[1])
    await connection.close()
    verified = florin("ledger verify", {"DATABASE_URL": url})
    assert (verified.returncode, verified.stdout) == (1, "")
    assert verified.stderr.splitlines()[-2:] == [
        "florin: The ledger does not agree. Differences: 1.",
        f"florin: {encode(IdKind.TRANSACTION, paid[1])}: captured is 9.00 USD by the tables, 10.00 USD by the ledger",
    ]
