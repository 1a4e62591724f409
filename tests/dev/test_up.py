"""`florin dev` once it is up: what the ready file says is true, and what the terminal shows is enough to begin."""

import asyncio
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest

from app.demo import PAYMENTS, seed
from tests.support.commands import FLORIN
from tests.support.development import Development

pytestmark = pytest.mark.xdist_group("florin_dev")

ROLES = {"customer": "CUSTOMER", "customer2": "CUSTOMER", "support": "SUPPORT", "admin": "ADMIN"}
# What the demo's payments are called, and nothing else is.
DEMO = {"text": "order"}


def test_every_token_in_the_ready_file_is_somebodys(florin_dev: Development) -> None:
    found = {who: florin_dev.ask(who, "{ me { id role } }")["me"] for who in florin_dev.ready["tokens"]}
    assert {who: me["role"] for who, me in found.items()} == ROLES
    assert len({me["id"] for me in found.values()}) == 4


def test_the_ready_file_is_nobody_elses_to_read(florin_dev: Development) -> None:
    assert florin_dev.ready
    assert florin_dev.ready_file.stat().st_mode & 0o777 == 0o600


async def test_the_database_answers_at_its_addresses(florin_dev: Development) -> None:
    addresses = {"florin_app": florin_dev.ready["database_url"], "florin": florin_dev.ready["migration_database_url"]}
    for role, address in addresses.items():
        connection = await asyncpg.connect(address)
        try:
            assert await connection.fetchval("SELECT current_user") == role
            assert await connection.fetchval("SELECT count(*) FROM users WHERE email LIKE '%@example.com'") == 4
        finally:
            await connection.close()


async def test_api_and_worker_work_as_a_role_that_can_change_no_audit_entry(florin_dev: Development) -> None:
    connection = await asyncpg.connect(florin_dev.ready["migration_database_url"])
    try:
        at_work = "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE application_name = 'florin'"
        assert [row[0] for row in await connection.fetch(at_work)] == ["florin_app"]
    finally:
        await connection.close()
    connection = await asyncpg.connect(florin_dev.ready["database_url"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM audit_entries")
    finally:
        await connection.close()


@pytest.mark.parametrize(("key", "status"), [(None, 200), ("sk_test_another", 401)])
def test_the_processor_answers_to_its_key_alone(florin_dev: Development, key: str | None, status: int) -> None:
    headers = {"Authorization": f"Bearer {key or florin_dev.ready['processor_key']}"}
    url = f"{florin_dev.ready['processor_url']}/v1/payment_intents?limit=1"
    assert httpx2.get(url, headers=headers, trust_env=False, timeout=60).status_code == status


def test_a_webhook_that_is_signed_wrongly_is_refused(florin_dev: Development) -> None:
    headers = {"Stripe-Signature": f"t=1,v1={'0' * 64}"}
    response = httpx2.post(
        florin_dev.ready["webhook_url"], content=b'{"id": "evt_1"}', headers=headers, trust_env=False, timeout=60
    )
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


def test_the_terminal_shows_what_is_needed_to_begin(florin_dev: Development) -> None:
    ready = florin_dev.ready
    shown = florin_dev.output
    assert f"GraphiQL, with examples: {ready['graphql_url']}\n" in shown
    for who, token in ready["tokens"].items():
        assert f"\n{who.upper()}={token}\n" in shown
    # Pasted into a shell as it stands, the query that it shows answers.
    pasted = re.search(r"^CUSTOMER=\S+$", shown, re.MULTILINE), re.search(r"^curl .*\n.*$", shown, re.MULTILINE)
    script = "\n".join(found[0] for found in pasted if found)
    answer = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert answer.startswith('{"data":{"transactions":{"nodes":[')


def test_requests_are_shown_in_a_line_each(florin_dev: Development) -> None:
    florin_dev.ask("customer", "query ShownOnTheTerminal { me { id } }")
    florin_dev.wait_for_output("POST /graphql ShownOnTheTerminal: 200 in ")
    # The supervisor's own questions whether the API is ready are nothing that a person asked.
    assert "/readyz" not in florin_dev.output


def test_a_port_that_is_taken_is_named_in_one_line(florin_dev: Development, tmp_path: Path) -> None:
    port = urlsplit(florin_dev.ready["graphql_url"]).port
    failed = run_dev("--port", str(port), "--data", str(tmp_path / "data"))
    assert (failed.returncode, failed.stdout) == (1, "")
    [line] = failed.stderr.splitlines()
    assert line.startswith(f"florin: port {port} is taken by ")
    assert "--port 0" in line
    assert not (tmp_path / "data").exists()


def test_a_data_folder_in_use_is_named_with_who_uses_it(florin_dev: Development) -> None:
    assert florin_dev.ready
    # As a run leaves it there that was not told of another place.
    somebodys = florin_dev.data / "ready.json"
    somebodys.write_text("{}")
    failed = run_dev("--port", "0", "--data", str(florin_dev.data))
    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert f"{florin_dev.data}/postgres is in use by process {florin_dev.pid}" in line
    assert somebodys.read_text() == "{}"
    assert florin_dev.ask("customer", "{ me { role } }")["me"]["role"] == "CUSTOMER"


async def test_demo_data_is_made_once_though_it_was_interrupted(florin_dev: Development) -> None:
    ready = florin_dev.ready
    # The first line comes after some of the payments; the rest of that run never happens.
    begun = asyncio.Event()
    first = asyncio.create_task(seed(ready["graphql_url"], ready["tokens"], lambda _: begun.set()))
    await asyncio.wait([first, asyncio.create_task(begun.wait())], return_when=asyncio.FIRST_COMPLETED)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    counts = [demo_payments(florin_dev)]
    for _ in range(2):
        await seed(ready["graphql_url"], ready["tokens"], lambda _: None)
        counts.append(demo_payments(florin_dev))
    assert 0 < counts[0] < PAYMENTS
    assert counts[1:] == [PAYMENTS, PAYMENTS]
    assert PAYMENTS >= 200
    statuses, currencies = kinds(florin_dev)
    assert statuses == {
        *("PENDING", "REQUIRES_ACTION", "AUTHORIZED", "COMPLETED"),
        *("PARTIALLY_REFUNDED", "REFUNDED", "FAILED", "CANCELED"),
    }
    assert currencies == {"USD", "EUR", "GBP", "JPY", "KWD"}


def run_dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FLORIN, "dev", "--no-demo", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def demo_payments(florin_dev: Development) -> int:
    query = "query Count($filter: TransactionFilter) { transactions(first: 1, filter: $filter) { totalCount } }"
    count: int = florin_dev.ask("admin", query, {"filter": DEMO})["transactions"]["totalCount"]
    return count


def kinds(florin_dev: Development) -> tuple[set[str], set[str]]:
    """The statuses and the currencies of the demo's payments."""
    query = """query Kinds($filter: TransactionFilter, $after: String) {
      transactions(first: 100, after: $after, filter: $filter) {
        nodes { status money { currency } } pageInfo { hasNextPage endCursor }
      }
    }"""
    nodes, after, more = [], None, True
    while more:
        page = florin_dev.ask("admin", query, {"filter": DEMO, "after": after})["transactions"]
        nodes += page["nodes"]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    return {node["status"] for node in nodes}, {node["money"]["currency"] for node in nodes}
