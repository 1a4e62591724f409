"""How much one may ask for: requests, mutations that move money, the cost of operations, time and connections."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.graphql.compiled.plans import USES_BEFORE_COMPILING
from persistence.engine import open_engine
from tests.api.application import PAY, Florin, Json, Person, payment, running
from tests.support.database import empty, patient_config

PAGE = "query Page($n: Int) { transactions(first: $n) { nodes { id } } }"


def error_of(response: httpx2.Response) -> Json:
    [error] = response.json()["errors"]
    found: Json = error
    return found


def assert_wait(response: httpx2.Response, code: str) -> None:
    assert response.status_code == 429
    extensions = error_of(response)["extensions"]
    assert (extensions["code"], extensions["retryable"]) == (code, True)
    assert 0 < extensions["retryAfterMs"] <= 1000 * int(response.headers["retry-after"])


async def test_everybody_has_requests_of_their_own(engine: AsyncEngine) -> None:
    async with running(engine, requests_per_minute=3) as florin:
        answers = [await florin.ada.send("{ me { id } }") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert_wait(answers[3], "RATE_LIMITED")
        assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers[:3]] == [
            f'"requests";r={left}' for left in (2, 1, 0)
        ]
        assert answers[0].headers["ratelimit-policy"] == '"requests";q=3;w=60'
        assert (await florin.alan.send("{ me { id } }")).status_code == 200


async def test_an_address_is_limited_before_anything_is_read(engine: AsyncEngine) -> None:
    async with running(engine, address_requests_per_minute=2) as florin:
        first = await florin.anonymous.send("{ __typename }")
        assert first.headers["ratelimit"].startswith('"address-requests";r=1;t=')
        await florin.anonymous.post(b"no JSON")
        # Neither a token nor another document makes a difference.
        assert_wait(await florin.ada.send("{ me { id } }"), "RATE_LIMITED")
        # Who sends webhooks, and who looks whether we are alive, is not counted.
        assert (await florin.http.post("/webhooks/stripe", content=b"{}")).status_code == 400
        assert (await florin.http.get("/healthz")).status_code == 200


async def test_x_forwarded_for_counts_only_from_our_own_proxies(engine: AsyncEngine) -> None:
    async def statuses(florin: Florin, *forwarded: str) -> list[int]:
        return [
            (await florin.anonymous.send("{ __typename }", X_Forwarded_For=value)).status_code for value in forwarded
        ]

    async with running(engine, address_requests_per_minute=1) as florin:
        assert await statuses(florin, "198.51.100.1", "198.51.100.2") == [200, 429]
    await empty(engine)
    # Requests in tests come from 127.0.0.1.
    async with running(engine, address_requests_per_minute=1, trusted_proxies="127.0.0.0/8, 10.0.0.1") as florin:
        assert await statuses(florin, "198.51.100.1", "198.51.100.2") == [200, 200]
        # What the client wrote itself stands to the left of what our proxies saw.
        assert await statuses(florin, "203.0.113.9, 198.51.100.1, 10.0.0.1", "198.51.100.3") == [429, 200]
        # One customer has all of the first 64 bits.
        assert await statuses(florin, "2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1") == [200, 429, 200]


async def test_payments_are_limited_for_each_actor_and_no_money_moves_then(engine: AsyncEngine) -> None:
    async with running(engine, money_mutations_per_minute=2) as florin:
        await florin.ada.paid("one")
        await florin.ada.paid("two")
        before = await florin.traces()
        assert_wait(await florin.ada.send(PAY, {"input": payment("three")}), "RATE_LIMITED")
        assert await florin.traces() == before
        assert (await florin.ada.send("{ me { id } }")).status_code == 200
        await florin.alan.paid("three")


async def test_two_payments_in_one_request_are_refused(florin: Florin, ada: Person) -> None:
    before = await florin.traces()
    document = """mutation Two($a: CreatePaymentInput!) {
      a: createPayment(input: $a) { replayed } ...B
    } fragment B on Mutation { b: createPayment(input: $a) { replayed } }"""
    response = await ada.send(document, {"a": payment("one")})
    assert (response.status_code, error_of(response)["extensions"]["code"]) == (400, "BAD_INPUT")
    assert "2 mutations" in error_of(response)["message"]
    assert await florin.traces() == before


async def test_an_operation_that_costs_too_much_is_not_run(engine: AsyncEngine) -> None:
    async with running(engine, query_cost_max=1000) as florin:
        document = "{ transactions(first: 100) { nodes { refunds(first: 100) { nodes { id } } } } }"
        error = await florin.ada.refused(document)
        assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("COST_EXCEEDED", False)
        assert "60702 units; 1000 is the most" in error["message"]
        # A client that can tell is told by the status too.
        response = await florin.ada.send(document, Accept="application/graphql-response+json")
        assert response.status_code == 400


async def test_cost_is_told_when_asked_for_and_what_was_not_used_is_given_back(
    engine: AsyncEngine,
) -> None:
    async with running(engine, query_cost_max=20_000, query_cost_per_second=1) as florin:
        await florin.ada.paid()
        # A document is read when it is new and compiled when it comes again; both are paid for beside what it costs.
        for _ in range(USES_BEFORE_COMPILING + 1):
            assert "extensions" not in (await florin.ada.send(PAGE, {"n": 100})).json()
        by_header = (await florin.ada.send(PAGE, {"n": 100}, X_Florin_Cost="1")).json()["extensions"]["cost"]
        body = json.dumps({"query": PAGE, "variables": {"n": 100}, "extensions": {"cost": True}}).encode()
        by_extension = (await florin.ada.post(body)).json()["extensions"]["cost"]
        for cost in (by_header, by_extension):
            assert (cost["requested"], cost["actual"], cost["maximum"]) == (602, 8, 20_000)
            assert (cost["capacity"], cost["restoredPerSecond"]) == (20_000, 1)
        # The page held one of a hundred, and only that one was paid for.
        assert by_header["available"] - by_extension["available"] <= 8


async def test_an_empty_budget_is_waited_for(engine: AsyncEngine) -> None:
    async with running(engine, query_cost_max=1000, query_cost_per_second=1) as florin:
        await florin.parts.limiting.throttle.spent(str(florin.ada.user.id), 1500)
        for document in ("{ me { id } }", "{ me { id } }", PAGE):
            assert_wait(await florin.ada.send(document), "COST_EXCEEDED")
        assert (await florin.alan.send("{ __typename }")).status_code == 200


async def test_documents_that_were_never_seen_cost_those_who_send_them(engine: AsyncEngine) -> None:
    async with running(engine, query_cost_max=1000, query_cost_per_second=1) as florin:
        statuses = []
        for number in range(200):
            wrong = " ".join(f"x{number}y{field}" for field in range(300))
            statuses.append((await florin.anonymous.send(f"{{ me {{ {wrong} }} }}")).status_code)
            if statuses[-1] == 429:
                break
        assert statuses[0] == 200
        assert statuses[-1] == 429
        # Somebody else does not pay for it.
        assert (await florin.ada.send("{ me { id } }")).status_code == 200


async def test_variables_nested_too_deeply_are_bad_input(florin: Florin, ada: Person) -> None:
    before = await florin.traces()
    deep: object = 1
    for _ in range(30):
        deep = [{"a": deep}]
    response = await ada.send(PAY, {"input": payment(metadata={"a": deep})})
    assert error_of(response)["extensions"]["code"] == "BAD_INPUT"
    assert "16 levels" in error_of(response)["message"]
    assert await florin.traces() == before


async def test_variables_may_be_nested_as_deep_as_is_said_and_no_deeper(ada: Person) -> None:
    def nested(levels: int) -> Json:
        value: object = 1
        for _ in range(levels - 1):
            value = [value]
        return {"a": value}

    # The variables are a level of their own, and this operation takes none of them.
    assert (await ada.send("{ __typename }", nested(16))).json() == {"data": {"__typename": "Query"}}
    refused = await ada.send("{ __typename }", nested(17))
    assert error_of(refused)["extensions"]["code"] == "BAD_INPUT"


async def test_what_did_not_run_is_given_back(engine: AsyncEngine) -> None:
    async with running(engine, query_cost_max=1000, query_cost_per_second=1) as florin:
        wrong = {"n": "no number"}
        statuses = {(await florin.ada.send(PAGE, wrong)).status_code for _ in range(200)}
        assert statuses == {200}
        assert (await florin.ada.send("{ me { id } }")).status_code == 200


@pytest.fixture
async def held(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """A connection of somebody else, to hold locks with."""
    other = create_async_engine(engine.url)
    yield other
    await other.dispose()


async def test_a_query_that_takes_too_long_is_ended(engine: AsyncEngine, held: AsyncEngine) -> None:
    async with running(engine, request_deadline_seconds=0.2) as florin, held.begin() as connection:
        owner = await connection.exec_driver_sql("SELECT tableowner FROM pg_tables WHERE tablename = 'transactions'")
        await connection.exec_driver_sql(f'SET ROLE "{owner.scalar_one()}"')
        await connection.exec_driver_sql("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
        response = await florin.ada.send("{ transactions { nodes { id } } }")
        assert response.status_code == 504
        assert error_of(response)["extensions"]["code"] == "DEADLINE_EXCEEDED"


async def test_a_payment_outlives_its_deadline_and_is_told_to_whoever_asks_again(
    engine: AsyncEngine, held: AsyncEngine
) -> None:
    async with running(engine, request_deadline_seconds=0.2) as florin:
        async with held.begin() as connection:
            owner = await connection.exec_driver_sql(
                "SELECT tableowner FROM pg_tables WHERE tablename = 'transactions'"
            )
            await connection.exec_driver_sql(f'SET ROLE "{owner.scalar_one()}"')
            await connection.exec_driver_sql("LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE")
            response = await florin.ada.send(PAY, {"input": payment("slow")})
            assert response.status_code == 504
            error = error_of(response)
            assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("DEADLINE_EXCEEDED", True)
            assert "same idempotency key" in error["message"]
        await florin.unfinished.finish(60)
        payload = await florin.ada.pay("slow")
        assert (payload["replayed"], payload["errors"]) == (True, [])
        assert await florin.charged() == [1000]


async def test_without_a_connection_the_answer_comes_within_the_time_set(engine: AsyncEngine) -> None:
    config = patient_config(engine.url.render_as_string(hide_password=False))
    small = open_engine(replace(config, pool_size=1, pool_timeout_seconds=0.1))
    async with running(small) as florin, small.connect():
        response = await florin.ada.send("{ me { id } }")
        assert response.status_code == 503
        assert error_of(response)["extensions"]["code"] == "UNAVAILABLE"
    await small.dispose()
