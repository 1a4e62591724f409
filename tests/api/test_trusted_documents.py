"""Trusted documents: run by their hash, and where a setting says so nothing else, but for staff."""

import json
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import Capability
from tests.api.application import Client, Florin, Json, payment, running
from tests.api.test_api_keys import program
from tests.support.database import rows
from tests.support.statements import counted
from tests.support.trusted import register, unregister

ME = "query Me { me { email } }"
OTHER = "query Other { me { name } }"
PAY = (
    "mutation Pay($input: CreatePaymentInput!) { createPayment(input: $input) { transaction { id } errors { code } } }"
)


@pytest.fixture
async def closed(engine: AsyncEngine) -> AsyncIterator[Florin]:
    """An application that runs only what it knows."""
    async with running(engine, trusted_documents_only=True) as florin:
        yield florin


def apollo(digest: str) -> Json:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}


def by_id(digest: str) -> Json:
    return {"documentId": f"sha256:{digest}"}


async def answer(who: Client, body: Mapping[str, object]) -> Json:
    found: Json = (await who.post(json.dumps(body).encode())).json()
    return found


async def code(who: Client, body: Mapping[str, object], status: int) -> str:
    response = await who.post(json.dumps(body).encode())
    assert response.status_code == status, response.text
    (error,) = response.json()["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize("form", [apollo, by_id])
async def test_a_registered_document_is_run_by_its_hash(florin: Florin, engine: AsyncEngine, form: object) -> None:
    assert callable(form)
    named = form(await register(engine, ME))
    expected = {"data": {"me": {"email": "ada@example.com"}}}
    assert await answer(florin.ada, named) == expected
    assert await answer(florin.ada, named | {"query": ME, "operationName": "Me"}) == expected
    by_url = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in named.items()}
    headers = {"Authorization": f"Bearer {florin.ada.token}"}
    assert (await florin.http.get("/graphql", params=by_url, headers=headers)).json() == expected


async def test_variables_are_given_to_it(florin: Florin, engine: AsyncEngine) -> None:
    digest = await register(engine, PAY)
    payload = await answer(florin.ada, by_id(digest) | {"variables": {"input": payment()}})
    assert payload["data"]["createPayment"]["errors"] == []


@pytest.mark.parametrize("form", [apollo, by_id])
async def test_an_unknown_hash_registers_nothing(florin: Florin, engine: AsyncEngine, form: object) -> None:
    assert callable(form)
    named = form(sha256(ME.encode()).hexdigest())
    for body in (named, named | {"query": ME}):
        assert await code(florin.ada, body, 404) == "PERSISTED_QUERY_NOT_FOUND"
    assert await rows(engine, "SELECT 1 FROM trusted_documents") == []


async def test_hash_and_text_must_be_of_one_document(florin: Florin, engine: AsyncEngine) -> None:
    digest = await register(engine, ME)
    assert await code(florin.ada, by_id(digest) | {"query": OTHER}, 400) == "BAD_INPUT"


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": 5},
        {"documentId": "x"},
        {"documentId": "a" * 64},
        {"documentId": "md5:" + "a" * 64},
        {"documentId": "sha256:" + "a" * 63},
        {"documentId": "sha256:" + "A" * 64},
        {"extensions": {"persistedQuery": 5}},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "a" * 64}}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ["a" * 64]}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "g" * 64}}},
        by_id("a" * 64) | apollo("a" * 64),
    ],
)
async def test_what_is_no_hash_is_refused_without_looking(florin: Florin, body: Json) -> None:
    with counted(florin.parts.engine) as statements:
        assert await code(florin.anonymous, body, 400) == "BAD_INPUT"
    assert statements == []


async def test_where_a_setting_says_so_customers_and_nobody_run_nothing_else(
    closed: Florin, engine: AsyncEngine
) -> None:
    await register(engine, ME)
    before = await closed.traces()
    for who in (closed.ada, closed.anonymous):
        for body in (
            {"query": OTHER},
            {"query": ME + " "},
            {"query": "{ __schema { types { name } } }"},
            {"query": "{"},
        ):
            assert await code(who, body, 403) == "DOCUMENT_NOT_TRUSTED"
        paid = {"query": PAY, "variables": {"input": payment()}}
        assert await code(who, paid, 403) == "DOCUMENT_NOT_TRUSTED"
    assert await closed.traces() == before
    # The text of what is registered is as good as its hash.
    assert (await answer(closed.ada, {"query": ME}))["data"]["me"]["email"] == "ada@example.com"


async def test_staff_run_what_they_like(closed: Florin) -> None:
    client, _ = await program(closed, "PAYMENTS_READ")
    for who in (closed.grace, closed.margaret, client):
        with counted(closed.parts.engine) as statements:
            await who.ask(OTHER)
        assert not any("trusted_documents" in statement for statement in statements)


async def test_a_document_has_no_other_capabilities_than_it_was_given(florin: Florin, engine: AsyncEngine) -> None:
    both = "query Both { me { email } ledgerAccounts { totalCount } transactions { totalCount } }"
    digest = await register(engine, both, capabilities=[Capability.PAYMENTS_READ])
    found = await answer(florin.margaret, by_id(digest))
    assert {error["extensions"]["code"] for error in found["errors"]} == {"FORBIDDEN"}
    assert {tuple(error["path"]) for error in found["errors"]} == {("ledgerAccounts",)}
    # And never more than whoever runs it.
    digest = await register(engine, both + "#", capabilities=[Capability.LEDGER_READ, Capability.PAYMENTS_READ])
    assert "errors" in await answer(florin.ada, by_id(digest))
    assert "errors" not in await answer(florin.margaret, by_id(digest))


async def test_a_document_has_a_cost_of_its_own_more_or_less_than_others(engine: AsyncEngine) -> None:
    large = "query Large { transactions(first: 100) { nodes { id refunds(first: 100) { nodes { id } } } } }"
    async with running(engine, query_cost_max=1000) as florin:
        assert (await answer(florin.ada, {"query": large}))["errors"][0]["extensions"]["code"] == "COST_EXCEEDED"
        assert "errors" not in await answer(florin.ada, by_id(await register(engine, large, cost_max=1_000_000)))
        found = await answer(florin.ada, by_id(await register(engine, large + " ", cost_max=200)))
    (error,) = found["errors"]
    assert error["extensions"]["code"] == "COST_EXCEEDED"
    assert "200 is the most" in error["message"]
    assert "data" not in found


async def test_it_is_looked_up_once(closed: Florin, engine: AsyncEngine) -> None:
    digest = await register(engine, ME)
    found = []
    for _ in range(3):
        with counted(engine) as statements:
            await answer(closed.ada, by_id(digest))
        found.append(sum("trusted_documents" in statement for statement in statements))
    assert found == [1, 0, 0]


async def test_what_was_removed_is_not_found_by_a_server_that_has_not_run_it(
    florin: Florin, engine: AsyncEngine
) -> None:
    digest = await register(engine, ME)
    await unregister(engine)
    assert await code(florin.ada, by_id(digest), 404) == "PERSISTED_QUERY_NOT_FOUND"


async def test_the_application_itself_cannot_add_a_document(engine: AsyncEngine) -> None:
    statement = "INSERT INTO trusted_documents VALUES (sha256('x'), 'x', 'x', NULL, now(), NULL) RETURNING 1"
    with pytest.raises(DBAPIError, match="permission denied"):
        await rows(engine, statement)


async def test_the_database_keeps_no_text_under_another_hash(engine: AsyncEngine) -> None:
    digest = await register(engine, ME)
    with pytest.raises(DBAPIError, match="permission denied"):
        await rows(engine, "UPDATE trusted_documents SET text = 'x' RETURNING 1")
    assert await rows(engine, "SELECT encode(digest, 'hex') FROM trusted_documents") == [(digest,)]
