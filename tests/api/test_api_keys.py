"""API keys over the whole application: made, shown once, used within their scopes, and refused at once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.access import FOR_PEOPLE_ALONE, Actor, Capability, KeyInUse, Role
from domain.errors import Forbidden, InvalidScopes
from domain.identity.create_api_key import CreateApiKey, NewApiKey
from domain.identity.key_text import digest_of, new_key
from domain.identity.revoke_api_key import RevokeApiKey
from domain.ids import NIL, ApiKeyId, IdKind, decode_as
from persistence.api_keys import SqlKeyDirectory
from tests.api.application import Client, Florin, Json, Person, payment, running
from tests.api.people import add_person, codes, sign_in
from tests.api.test_user_administration import DISABLE, ENABLE
from tests.support.captured_logs import captured_logs
from tests.support.database import rows
from tests.support.statements import counted

CREATE = """mutation Create($input: CreateApiKeyInput!) {
  createApiKey(input: $input) {
    secret apiKey { id name prefix scopes owner { email } createdAt expiresAt lastUsedAt revokedAt } errors { code path }
  }
}"""
REVOKE = """mutation Revoke($input: RevokeApiKeyInput!) {
  revokeApiKey(input: $input) { apiKey { id revokedAt } errors { code path } }
}"""
LIST = """query Keys($first: Int, $after: String) {
  apiKeys(first: $first, after: $after) {
    totalCount nodes { id name prefix lastUsedAt revokedAt } pageInfo { hasNextPage endCursor }
  }
}"""
ME = "{ me { email role } }"
TRANSACTIONS = "{ transactions { totalCount } }"


async def create(who: Person, *scopes: str, name: str = "shop", **more: object) -> Json:
    payload: Json = (await who.ask(CREATE, {"input": {"name": name, "scopes": scopes, **more}}))["createApiKey"]
    return payload


async def program(florin: Florin, *scopes: str, by: Person | None = None) -> tuple[Client, str]:
    """A client with a new key of Margaret's, and the key's id."""
    created = await create(by or florin.margaret, *scopes)
    assert created["errors"] == []
    return Client(florin.http, created["secret"]), created["apiKey"]["id"]


async def revoke(who: Person, key_id: str) -> Json:
    payload: Json = (await who.ask(REVOKE, {"input": {"apiKeyId": key_id}}))["revokeApiKey"]
    return payload


async def refused(client: Client) -> None:
    response = await client.send(ME)
    assert response.status_code == 401
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == "The request carries no access token, or one that is not valid any more."


async def audited(florin: Florin) -> list[tuple[object, ...]]:
    return await rows(
        florin.parts.engine,
        "SELECT action, actor_kind, details FROM audit_entries WHERE action LIKE 'api_key.%' ORDER BY number",
    )


async def test_a_key_is_shown_once_and_kept_nowhere(florin: Florin) -> None:
    created = await create(florin.margaret, "PAYMENTS_READ", "LEDGER_READ")
    key, secret = created["apiKey"], created["secret"]
    assert (key["name"], key["owner"]["email"], key["scopes"]) == (
        "shop",
        "margaret@example.com",
        ["LEDGER_READ", "PAYMENTS_READ"],
    )
    assert (key["expiresAt"], key["lastUsedAt"], key["revokedAt"]) == (None, None, None)
    assert secret.startswith(key["prefix"])
    assert len(key["prefix"]) == 20
    assert secret not in str(await florin.margaret.ask(LIST))
    for table in ("api_keys", "audit_entries", "idempotency_keys"):
        assert secret not in str(await rows(florin.parts.engine, f"SELECT * FROM {table}"))  # noqa: S608  constants
    assert await rows(florin.parts.engine, "SELECT digest FROM api_keys") == [(digest_of(secret),)]


async def test_a_key_acts_for_its_owner_within_its_scopes(florin: Florin) -> None:
    await florin.ada.paid()
    client, _ = await program(florin, "PAYMENTS_READ")
    assert (await client.ask(ME))["me"] == {"email": "margaret@example.com", "role": "ADMIN"}
    assert (await client.ask(TRANSACTIONS))["transactions"]["totalCount"] == 1
    for query in ("{ ledgerAccounts { totalCount } }", "{ apiKeys { totalCount } }"):
        assert (await client.refused(query))["extensions"]["code"] == "FORBIDDEN"


async def test_of_several_keys_each_has_its_own_scopes(florin: Florin) -> None:
    reads, sees_books = [(await program(florin, scope))[0] for scope in ("PAYMENTS_READ", "LEDGER_READ")]
    books = "{ ledgerAccounts { totalCount } }"
    await reads.ask(TRANSACTIONS)
    await sees_books.ask(books)
    for client, query in ((reads, books), (sees_books, TRANSACTIONS)):
        assert (await client.refused(query))["extensions"]["code"] == "FORBIDDEN"


async def test_what_a_key_does_is_audited_as_the_keys(florin: Florin) -> None:
    client, key_id = await program(florin, "PAYMENTS_CREATE")
    pay = "mutation ($input: CreatePaymentInput!) { createPayment(input: $input) { transaction { id } } }"
    made = (await client.ask(pay, {"input": payment()}))["createPayment"]["transaction"]["id"]
    entry = (await florin.grace.audit(made))[0]
    assert (entry["actorKind"], entry["actor"], entry["details"]["apiKeyId"]) == (
        "API_KEY",
        {"id": florin.margaret.id},
        key_id,
    )
    assert all("apiKeyId" not in later["details"] for later in (await florin.grace.audit(made))[1:])


async def test_a_key_without_a_scope_can_do_nothing_and_leaves_nothing(florin: Florin) -> None:
    client, _ = await program(florin, "LEDGER_READ")
    before = await florin.traces()
    pay = "mutation ($input: CreatePaymentInput!) { createPayment(input: $input) { replayed } }"
    assert (await client.refused(pay, {"input": payment()}))["extensions"]["code"] == "FORBIDDEN"
    assert await florin.traces() == before


async def test_a_revoked_key_is_refused_at_once_by_every_process(florin: Florin, engine: AsyncEngine) -> None:
    client, key_id = await program(florin, "PAYMENTS_READ")
    await client.ask(TRANSACTIONS)
    revoked = await revoke(florin.margaret, key_id)
    assert revoked["apiKey"]["revokedAt"] is not None
    await refused(client)
    # Again changes nothing.
    assert await revoke(florin.margaret, key_id) == revoked
    assert [(action, kind) for action, kind, _ in await audited(florin)] == [
        ("api_key.created", "USER"),
        ("api_key.revoked", "USER"),
    ]


async def test_of_many_requests_while_a_key_is_revoked_none_that_begins_later_is_taken(florin: Florin) -> None:
    client, key_id = await program(florin, "PAYMENTS_READ")
    during = [asyncio.create_task(client.send(ME)) for _ in range(10)]
    await asyncio.gather(*(revoke(florin.margaret, key_id) for _ in range(2)))
    after = await asyncio.gather(*(client.send(ME) for _ in range(10)))
    assert {response.status_code for response in after} == {401}
    assert {response.status_code for response in await asyncio.gather(*during)} <= {200, 401}
    assert [action for action, _, _ in await audited(florin)].count("api_key.revoked") == 1


async def test_an_expired_key_is_refused(florin: Florin) -> None:
    soon = florin.parts.clock.now() + timedelta(days=1)
    created = await create(florin.margaret, "PAYMENTS_READ", expiresAt=soon.isoformat())
    client = Client(florin.http, created["secret"])
    await client.ask(ME)
    # By the database's clock, which cannot be moved.
    await rows(florin.parts.engine, "UPDATE api_keys SET expires_at = clock_timestamp() RETURNING 1")
    await refused(client)


async def test_a_downgraded_owner_takes_the_keys_rights_along(florin: Florin) -> None:
    client, _ = await program(florin, "LEDGER_READ", "PAYMENTS_READ")
    await florin.ada.paid()
    await client.ask("{ ledgerAccounts { totalCount } }")
    await rows(
        florin.parts.engine,
        "UPDATE users SET role = 'CUSTOMER' WHERE id = :id RETURNING 1",
        id=florin.margaret.user.id,
    )
    assert (await client.refused("{ ledgerAccounts { totalCount } }"))["extensions"]["code"] == "FORBIDDEN"
    assert (await client.ask(TRANSACTIONS))["transactions"]["totalCount"] == 0


async def test_a_disabled_owners_keys_are_out_at_once_and_in_again_with_them(florin: Florin) -> None:
    client, _ = await program(florin, "PAYMENTS_CREATE", "PAYMENTS_READ")
    await client.ask(ME)
    other = await add_person(florin, "katherine@example.com", role=Role.ADMIN)
    katherine = await sign_in(florin, other.email)
    assert await codes(katherine, DISABLE, userId=florin.margaret.id, reason="They have left.") == []
    before = await florin.traces()
    await refused(client)
    paid = "mutation ($input: CreatePaymentInput!) { createPayment(input: $input) { replayed } }"
    assert (await client.send(paid, {"input": payment()})).status_code == 401
    assert await florin.traces() == before
    assert await codes(katherine, ENABLE, userId=florin.margaret.id, reason="They are back.") == []
    await client.ask(ME)


async def test_what_is_no_key_of_this_server_asks_no_database(florin: Florin) -> None:
    # There is one, so that a key which nobody made has to be told from it.
    await program(florin, "PAYMENTS_READ")
    good = new_key(live=False)
    for text in (new_key(live=True), good[:-1], good + "0", good.swapcase(), "florin_test_", "florin_live_x"):
        with counted(florin.parts.engine) as statements:
            await refused(Client(florin.http, text))
        assert statements == [], text
    # One that could be is looked for, in one statement.
    with counted(florin.parts.engine) as statements:
        await refused(Client(florin.http, good))
    assert len(statements) == 1


async def test_a_test_key_is_refused_where_real_money_moves(engine: AsyncEngine) -> None:
    # Put together here, so that no tool that looks for leaked secrets takes the tests for a leak.
    live_key = SecretStr("sk_" + "live_of_the_api_tests")
    async with running(engine, stripe_secret_key=live_key, stripe_api_base="https://sandbox.example") as live:
        created = await create(live.margaret, "PAYMENTS_READ")
        assert created["secret"].startswith("florin_live_")
        await Client(live.http, created["secret"]).ask(ME)
        test_key = new_key(live=False)
        await rows(engine, "UPDATE api_keys SET digest = :digest RETURNING 1", digest=digest_of(test_key))
        await refused(Client(live.http, test_key))


async def test_a_request_by_key_costs_as_many_statements_as_one_by_token(florin: Florin) -> None:
    client, _ = await program(florin, "PAYMENTS_READ")
    await client.ask(ME)
    await florin.parts.key_directory.close()
    found = []
    for who in (client, florin.margaret):
        with counted(florin.parts.engine) as statements:
            await who.ask(TRANSACTIONS)
        found.append(len(statements))
    assert found == [3, 3]


async def test_the_last_use_is_noted_at_most_once_a_minute(florin: Florin) -> None:
    client, key_id = await program(florin, "PAYMENTS_READ")
    with counted(florin.parts.engine) as statements:
        await asyncio.gather(*(client.ask(ME) for _ in range(5)))
        await florin.parts.key_directory.close()
        await client.ask(ME)
        await florin.parts.key_directory.close()
    assert sum(statement.startswith("UPDATE api_keys") for statement in statements) == 1
    (node,) = (await florin.margaret.ask(LIST))["apiKeys"]["nodes"]
    assert node["id"] == key_id
    assert node["lastUsedAt"] is not None
    await rows(
        florin.parts.engine, "UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds' RETURNING 1"
    )
    await client.ask(ME)
    await florin.parts.key_directory.close()
    (later,) = (await florin.margaret.ask(LIST))["apiKeys"]["nodes"]
    assert later["lastUsedAt"] >= node["lastUsedAt"]


async def test_of_many_who_note_a_use_at_once_one_writes_and_none_within_a_minute_of_another(florin: Florin) -> None:
    await program(florin, "PAYMENTS_READ")
    [(key_id,)] = await rows(florin.parts.engine, "SELECT id FROM api_keys")
    assert isinstance(key_id, UUID)
    # Two processes, neither of which knows what the other has noted.
    processes = [SqlKeyDirectory(florin.parts.engine) for _ in range(2)]
    written = []
    for directory in processes:
        with counted(florin.parts.engine) as statements:
            for _ in range(5):
                directory.note_use(ApiKeyId(key_id))
            await directory.close()
        written.append((len(statements), await rows(florin.parts.engine, "SELECT last_used_at FROM api_keys")))
    assert written[0][1] != [(None,)]
    assert written == [written[0]] * 2
    assert written[0][0] == 1


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"name": " "}, "INVALID_TEXT", ["input", "name"]),
        ({"name": "x" * 101}, "INVALID_TEXT", ["input", "name"]),
        ({"name": "4242 4242 4242 4242"}, "CARD_NUMBER_REFUSED", ["input", "name"]),
        ({"scopes": []}, "INVALID_SCOPES", ["input", "scopes"]),
        ({"scopes": ["PAYMENTS_READ", "KEYS_MANAGE"]}, "INVALID_SCOPES", ["input", "scopes"]),
        ({"expiresAt": "2026-01-01T00:00:00Z"}, "INVALID_EXPIRY", ["input", "expiresAt"]),
    ],
)
async def test_what_cannot_be_a_key_is_refused(florin: Florin, changes: Json, code: str, path: list[str]) -> None:
    wanted = {"name": "shop", "scopes": ["PAYMENTS_READ"], **changes}
    payload = (await florin.margaret.ask(CREATE, {"input": wanted}))["createApiKey"]
    assert payload == {"secret": None, "apiKey": None, "errors": [{"code": code, "path": path}]}
    assert await rows(florin.parts.engine, "SELECT 1 FROM api_keys") == []
    assert await audited(florin) == []


@pytest.mark.parametrize("capability", sorted(FOR_PEOPLE_ALONE))
async def test_no_key_is_for_what_people_do_alone(florin: Florin, capability: Capability) -> None:
    assert [error["code"] for error in (await create(florin.margaret, capability.name))["errors"]] == ["INVALID_SCOPES"]


async def test_nobody_who_runs_the_server_makes_a_key_for_more_than_its_owner_may(florin: Florin) -> None:
    from app.wiring import create_api_key_over  # noqa: PLC0415  only here and below

    for owner, scope in ((florin.ada, Capability.LEDGER_READ), (florin.grace, Capability.WEBHOOKS_READ)):
        wanted = NewApiKey(name="job", scopes=[Capability.PAYMENTS_READ, scope], expires_at=None)
        with pytest.raises(InvalidScopes, match=scope):
            await create_api_key_over(florin.parts).for_user(owner.user, wanted)
    assert await rows(florin.parts.engine, "SELECT 1 FROM api_keys") == []
    assert await audited(florin) == []


async def test_keys_are_not_for_customers_nor_for_the_support(florin: Florin) -> None:
    _, key_id = await program(florin, "PAYMENTS_READ")
    for who in (florin.ada, florin.grace):
        wanted = {"name": "mine", "scopes": ["PAYMENTS_READ"]}
        for query, variables in ((CREATE, {"input": wanted}), (REVOKE, {"input": {"apiKeyId": key_id}}), (LIST, {})):
            assert (await who.refused(query, variables))["extensions"]["code"] == "FORBIDDEN"
    assert len(await rows(florin.parts.engine, "SELECT 1 FROM api_keys WHERE revoked_at IS NULL")) == 1


async def test_the_acts_themselves_let_nobody_make_or_revoke_keys_who_may_not(florin: Florin) -> None:
    """Whichever door they are asked through: also for a key of an administrator's own."""
    _, key_id = await program(florin, "PAYMENTS_READ")
    made = await audited(florin)
    parts, margaret = florin.parts, florin.margaret.user.id
    create_ = CreateApiKey(units=parts.units, clock=parts.clock, ids=parts.ids, live=False)
    revoke_ = RevokeApiKey(units=parts.units, clock=parts.clock, ids=parts.ids)
    uuid = ApiKeyId(decode_as(IdKind.API_KEY, key_id) or NIL)
    wanted = NewApiKey(name="mine", scopes=[Capability.PAYMENTS_READ], expires_at=None)
    for actor in (
        Actor(florin.ada.user.id, Role.CUSTOMER),
        Actor(florin.grace.user.id, Role.SUPPORT),
        Actor(margaret, Role.ADMIN, KeyInUse(uuid, frozenset(Capability))),
    ):
        with pytest.raises(Forbidden):
            await create_(actor, wanted)
        with pytest.raises(Forbidden):
            await revoke_(actor, uuid)
    assert await rows(parts.engine, "SELECT revoked_at FROM api_keys") == [(None,)]
    assert await audited(florin) == made


async def test_a_key_that_does_not_exist_cannot_be_revoked(florin: Florin) -> None:
    for key_id in ("key_" + "0" * 32, florin.ada.id, "x"):
        payload = await revoke(florin.margaret, key_id)
        assert payload == {"apiKey": None, "errors": [{"code": "NOT_FOUND", "path": ["input", "apiKeyId"]}]}


async def test_the_list_is_paged_with_the_latest_first(florin: Florin) -> None:
    names = ["first", "second", "third"]
    for name in names:
        await create(florin.margaret, "PAYMENTS_READ", name=name)
    first = (await florin.margaret.ask(LIST, {"first": 2}))["apiKeys"]
    assert ([node["name"] for node in first["nodes"]], first["totalCount"]) == (["third", "second"], 3)
    rest = (await florin.margaret.ask(LIST, {"first": 2, "after": first["pageInfo"]["endCursor"]}))["apiKeys"]
    assert [node["name"] for node in rest["nodes"]] == ["first"]


async def test_no_log_line_holds_a_key(florin: Florin) -> None:
    with captured_logs() as logs:
        client, _ = await program(florin, "PAYMENTS_READ")
        assert client.token is not None
        await client.ask(ME)
        await refused(Client(florin.http, client.token + "x"))
        structlog.get_logger(__name__).info("a slip", header=f"Bearer {client.token}", key=client.token)
    assert "a slip" in logs.text
    assert client.token not in logs.text


async def test_a_key_made_by_whoever_runs_the_server_is_a_users_within_their_role(florin: Florin) -> None:
    from app.wiring import create_api_key_over  # noqa: PLC0415  only here

    wanted = NewApiKey(name="job", scopes=[Capability.PAYMENTS_READ], expires_at=None)
    created = await create_api_key_over(florin.parts).for_user(florin.ada.user, wanted)
    await florin.alan.paid()
    client = Client(florin.http, created.text)
    assert (await client.ask(ME))["me"]["role"] == Role.CUSTOMER
    assert (await client.ask(TRANSACTIONS))["transactions"]["totalCount"] == 0
    assert [(action, kind) for action, kind, _ in await audited(florin)] == [("api_key.created", "SYSTEM")]
    assert created.text not in repr(created)
