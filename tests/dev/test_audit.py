"""`florin audit verify` as a process: what it prints, and what it prints when something was changed."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from domain.audit_chain import CHAINS
from persistence.engine import open_engine
from persistence.schema import migrate
from persistence.unit_of_work import SqlUnitsOfWork
from tests.support.clock import SequentialIds
from tests.support.commands import florin
from tests.support.database import patient_config
from tests.support.postgres import another_database
from tests.support.records import add_transaction, audit_entry, transaction, user


@pytest.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    """A migrated database with twenty audit entries."""
    async with another_database(database_url) as url:
        engine = open_engine(patient_config(url))
        await migrate(engine)
        units, ids = SqlUnitsOfWork(engine), SequentialIds()
        payer = user(ids.new())
        async with units.begin() as uow:
            await uow.users.add(payer)
        paid = await add_transaction(units, transaction(ids.new(), payer.id))
        for _ in range(20):
            async with units.begin() as uow:
                await uow.audit.append(audit_entry(ids.new(), paid))
        await engine.dispose()
        yield url


async def test_verify_prints_an_anchor_that_a_later_verification_holds_to(url: str, tmp_path: Path) -> None:
    first = florin("audit verify", {"DATABASE_URL": url})
    assert (first.returncode, first.stderr) == (0, "")
    said, *heads = first.stdout.splitlines()
    assert said == f"20 entries in {CHAINS} chains are what was written."
    assert len(heads) == CHAINS
    anchor = tmp_path / "anchor.txt"
    anchor.write_text(first.stdout)
    # As if the log had been emptied, heads and all, by somebody with every right.
    await execute(
        url,
        "DELETE FROM audit_links; DELETE FROM audit_entries;"
        "UPDATE audit_heads SET length = 0, hash = decode(repeat('00', 32), 'hex')",
    )
    emptied = florin("audit verify", {"DATABASE_URL": url}, "--anchor", str(anchor))
    assert (emptied.returncode, emptied.stdout) == (1, "")
    assert emptied.stderr.count(": removed since the anchor was noted down\n") == CHAINS


async def test_verify_names_the_first_broken_entry(url: str) -> None:
    await execute(url, 'UPDATE audit_entries SET details = \'{"amountMinor": "1"}\' WHERE number = 3')
    verified = florin("audit verify", {"DATABASE_URL": url})
    assert (verified.returncode, verified.stdout) == (1, "")
    what, which = verified.stderr.splitlines()
    assert what == "florin: The audit log is not what was written."
    assert which.startswith("florin: chain ")
    assert ", aud_" in which
    assert " of txn_" in which
    assert which.endswith(": it is not what was written there")


def test_an_anchor_that_is_none_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    # Before the database is asked anything: nobody listens at this address.
    verified = florin(
        "audit verify", {"DATABASE_URL": "postgresql://florin@127.0.0.1:1/florin"}, "--anchor", str(empty)
    )
    assert (verified.returncode, verified.stdout) == (1, "")
    [line] = verified.stderr.splitlines()
    assert line.startswith(f"florin: The anchor {empty} cannot be read: it holds no line such as ")


async def execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SET session_replication_role = replica; {statements}")
    finally:
        await connection.close()
