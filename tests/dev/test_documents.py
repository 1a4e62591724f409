"""`florin documents sync` as a process: what it registers, and what it refuses to."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from persistence.engine import open_engine
from persistence.schema import migrate
from tests.support.commands import florin
from tests.support.database import patient_config, rows
from tests.support.postgres import another_database

ME = "query Me { me { email } }\n"
LEDGER = "# florin capabilities: ledger:read\n# florin cost: 200\nquery Accounts { ledgerAccounts { totalCount } }\n"


@pytest.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    async with another_database(database_url) as found:
        engine = open_engine(patient_config(found))
        await migrate(engine)
        await engine.dispose()
        yield found


async def registered(url: str) -> list[tuple[object, ...]]:
    engine = open_engine(patient_config(url))
    found = await rows(
        engine, "SELECT encode(digest, 'hex'), name, text, capabilities, cost_max FROM trusted_documents ORDER BY name"
    )
    await engine.dispose()
    return found


def hexadecimal(text: str) -> str:
    return sha256(text.encode()).hexdigest()


async def test_files_and_manifests_are_registered_and_pruned(url: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "me.graphql").write_text(ME)
    (tmp_path / "ledger.gql").write_text(LEDGER)
    (tmp_path / "README.md").write_text("not a document")
    synced = florin("documents sync", {"DATABASE_URL": url}, str(tmp_path))
    assert synced.returncode == 0, synced.stderr
    assert synced.stdout.splitlines() == [
        f"sha256:{hexadecimal(LEDGER)}  ledger.gql",
        f"sha256:{hexadecimal(ME)}  pages/me.graphql",
        "2 documents are registered, 2 of them new or changed; 0 were removed.",
    ]
    assert await registered(url) == [
        (hexadecimal(LEDGER), "ledger.gql", LEDGER, ["ledger:read"], 200),
        (hexadecimal(ME), "pages/me.graphql", ME, None, None),
    ]
    again = florin("documents sync", {"DATABASE_URL": url}, str(tmp_path))
    assert again.stdout.splitlines()[-1] == "2 documents are registered, 0 of them new or changed; 0 were removed."
    name = "query Name { me { name } }"
    manifest = {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{"id": hexadecimal(name), "name": "Name", "type": "query", "body": name}],
    }
    (tmp_path / "ledger.gql").unlink()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "relay.json").write_text(json.dumps({hexadecimal(name + " "): name + " "}))
    pruned = florin("documents sync --prune", {"DATABASE_URL": url}, str(tmp_path))
    assert pruned.stdout.splitlines()[-1] == "3 documents are registered, 2 of them new or changed; 1 were removed."
    assert {row[0] for row in await registered(url)} == {hexadecimal(ME), hexadecimal(name), hexadecimal(name + " ")}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.graphql", "query {", "Syntax Error"),
        ("a.graphql", "{ nonsense }", "Cannot query field"),
        (
            "a.graphql",
            "# florin capabilities: payments:read\n{ ledgerAccounts { totalCount } }",
            "it needs ledger:read",
        ),
        ("a.graphql", "# florin capabilities: payments:raed\n{ me { id } }", "payments:raed"),
        ("a.graphql", "# florin cost: much\n{ me { id } }", "a whole number of units."),
        ("a.graphql", "# florin cost: 0\n{ me { id } }", "a whole number of units."),
        ("a.json", "[1]", "it is no manifest."),
        ("a.json", "{", "a.json"),
        ("a.json", '{"name": "package", "version": "1"}', "it is no manifest"),
        ("a.json", json.dumps({"0" * 64: "{ me { id } }"}), "is not the SHA-256 of its text."),
        ("a.json", json.dumps({"format": "apollo-persisted-query-manifest"}), "no list of objects."),
        ("a.txt", "{ me { id } }", "There is no document in"),
    ],
)
async def test_nothing_is_registered_where_one_is_wrong(
    url: str, tmp_path: Path, name: str, content: str, says: str
) -> None:
    if name != "a.txt":
        (tmp_path / "good.graphql").write_text(ME)
    (tmp_path / name).write_text(content)
    refused = florin("documents sync", {"DATABASE_URL": url}, str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert says in refused.stderr
    assert await registered(url) == []


async def test_a_folder_that_is_none_is_named(url: str, tmp_path: Path) -> None:
    refused = florin("documents sync", {"DATABASE_URL": url}, str(tmp_path / "none"))
    assert (refused.returncode, refused.stderr) == (1, f"florin: {tmp_path / 'none'} is no folder.\n")
