"""Requests that no client of good will sends: each is refused with a code, and none is a fault of the server."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx2
import pytest

from tests.api.application import PAY, Florin, Person, payment
from tests.support.captured_logs import captured_logs

# As deep as a body of 100 KB can be.
DEEP = 15_000
DIGITS = "9" * 5000
NAMED = '{"query": "query A { __typename } query B { __typename }"'

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a number": b"5",
    "a text": b'"x"',
    "a list": b"[]",
    "a batch": b'[{"query": "{ __typename }"}]',
    "true": b"true",
    "an empty object": b"{}",
    "no JSON": b"{ __typename }",
    "half of it": b'{"query": "{ __typename }"',
    "bad UTF-8": b'{"query": "{ __typename } # \xff"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"query": "{ __typename }"}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "a number for a query": b'{"query": 5}',
    "null for a query": b'{"query": null}',
    "a list for a query": b'{"query": ["{ __typename }"]}',
    "an empty query": b'{"query": ""}',
    "a comment for a query": b'{"query": "# nothing"}',
    "a number for a name": b'{"query": "{ __typename }", "operationName": 5}',
    "a list of variables": b'{"query": "{ __typename }", "variables": []}',
    "a text of variables": b'{"query": "{ __typename }", "variables": "{}"}',
    "a text of extensions": b'{"query": "{ __typename }", "extensions": "{}"}',
    "two operations and no name": NAMED.encode() + b"}",
    "two operations and an empty name": NAMED.encode() + b', "operationName": ""}',
    "two operations and another name": NAMED.encode() + b', "operationName": "C"}',
    "two operations of one name": b'{"query": "query A { __typename } query A { __typename }", "operationName": "A"}',
    "no operation": b'{"query": "fragment F on Query { __typename }"}',
    "a subscription": b'{"query": "subscription { __typename }"}',
    "deep lists": b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
    "deep objects": b'{"query": "{ __typename }", "variables": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "only brackets": b"[" * DEEP,
    "a huge number": b'{"query": "query ($a: Int) { __typename }", "variables": {"a": ' + DIGITS.encode() + b"}}",
    "a huge float": b'{"query": "query ($a: Float) { __typename }", "variables": {"a": 1e999999}}',
}

DOCUMENTS: dict[str, str] = {
    "a deep selection": "{a" * DEEP + "}" * DEEP,
    "a deep selection of real fields": "{me{transactions{nodes{user" * 300 + "{id}" + "}}}}" * 300,
    "a deep list": "{ nodes(ids: " + "[" * DEEP + "]" * DEEP + ") { id } }",
    "a list of some depth": "{ nodes(ids: " + "[" * 900 + '"a"' + "]" * 900 + ") { id } }",
    "a deep object": "{ transactions(filter: " + "{a:" * DEEP + "1" + "}" * DEEP + ") { totalCount } }",
    "a deep type": "query ($a: " + "[" * DEEP + "Int" + "]" * DEEP + ") { __typename }",
    "deep inline fragments": "{" + "... on Query {" * 900 + "__typename" + "}" * 900 + "}",
    "a huge number": "{ transactions(first: " + DIGITS + ") { totalCount } }",
    "a huge negative number": "{ transactions(first: -" + DIGITS + ") { totalCount } }",
    "a huge float": "{ transactions(first: 1." + DIGITS + ") { totalCount } }",
    "a huge exponent": "{ transactions(first: 1e" + DIGITS + ") { totalCount } }",
    "a cycle of fragments": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a fragment in itself": "{ ...A } fragment A on Query { me { id } ...A }",
    "an unknown fragment": "{ ...A }",
    "an unknown field": "{ secrets }",
    "no selection": "{ me }",
    "five thousand aliases": "{" + " ".join(f"a{n}: __typename" for n in range(5_000)) + "}",
    "a long document": "{ __typename }" + "#" * 100_000,
    "a long name": "query " + "a" * 100_000 + " { __typename }",
    "a directive a thousand times": "{ __typename " + "@skip(if: false)" * 1000 + "}",
    "an unknown variable": "{ transaction(id: $id) { id } }",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_is_no_request_is_bad_input(ada: Person, body: bytes) -> None:
    with captured_logs() as logs:
        for media_type in ("application/json", "application/graphql-response+json"):
            assert_bad_input(await ada.post(body, Accept=media_type), media_type)
    assert_no_fault(logs.text)


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
async def test_a_document_that_cannot_be_run_is_bad_input(florin: Florin, ada: Person, document: str) -> None:
    with captured_logs() as logs:
        for media_type in ("application/json", "application/graphql-response+json"):
            assert_bad_input(await ada.send(document, Accept=media_type), media_type)
        # Whoever has no token is told the same, and not first that they have none.
        assert_bad_input(await florin.anonymous.send(document), "application/json")
    assert_no_fault(logs.text)


async def test_a_huge_number_where_any_json_may_stand(florin: Florin, ada: Person) -> None:
    before = await florin.traces()
    wanted = json.dumps({"query": PAY, "variables": {"input": payment(metadata={"a": "HERE"})}})
    assert_bad_input(await ada.post(wanted.replace('"HERE"', DIGITS).encode()), "application/json")
    for value in (DIGITS, "[" * DEEP + "]" * DEEP):
        document = f"""mutation {{ createPayment(input: {{idempotencyKey: "k", paymentMethodId: "pm_card_visa",
          metadata: {{a: {value}}}, money: {{currency: USD, amount: "10.00"}}}}) {{ replayed }} }}"""
        assert_bad_input(await ada.send(document), "application/json")
    assert await florin.traces() == before


async def test_a_large_body_is_refused(ada: Person) -> None:
    response = await ada.post(b'{"query": "' + b" " * 1024 * 1024 + b'"}')
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"


# 100 KB are ten pieces; the eleventh is one too many. What says itself that it is too large is not read at all.
@pytest.mark.parametrize(("declared", "pieces"), [({}, 11), ({"Content-Length": "1024000"}, 0)])
async def test_a_large_body_is_not_read_to_its_end(florin: Florin, declared: dict[str, str], pieces: int) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 10_240

    response = await florin.http.post(
        "/graphql", content=chunks(), headers={"Content-Type": "application/json", **declared}
    )
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
    assert sent == pieces


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=utf-16",
        "application/jsonp",
        "",
    ],
)
async def test_what_a_form_on_another_site_could_send_is_refused(
    florin: Florin, ada: Person, content_type: str
) -> None:
    before = await florin.traces()
    body = json.dumps({"query": PAY, "variables": {"input": payment()}}).encode()
    response = await ada.post(body, Content_Type=content_type)
    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert await florin.traces() == before


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
async def test_json_may_name_its_charset(ada: Person, content_type: str) -> None:
    response = await ada.send("{ me { id } }", Content_Type=content_type)
    assert response.json()["data"] == {"me": {"id": ada.id}}


async def test_a_mutation_by_get_is_refused(florin: Florin, ada: Person) -> None:
    before = await florin.traces()
    variables = json.dumps({"input": payment()})
    response = await florin.http.get(
        f"/graphql?query={quote(PAY)}&variables={quote(variables)}", headers={"Authorization": f"Bearer {ada.token}"}
    )
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    assert await florin.traces() == before


async def test_a_query_by_get_is_answered(florin: Florin, ada: Person) -> None:
    parameters = {"query": "query ($a: Boolean!) { me { id @include(if: $a) } }", "variables": '{"a": true}'}
    response = await florin.http.get("/graphql", params=parameters, headers={"Authorization": f"Bearer {ada.token}"})
    assert response.json() == {"data": {"me": {"id": ada.id}}}
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "parameters",
    [
        "query=",
        "query={__typename}&query={me{id}}",
        "query={__typename}&variables=5",
        "query={__typename}&variables={",
        "query={__typename}&variables=" + "[" * 5000,
        "query={__typename}&extensions=x",
        "query=query%20A{__typename}%20query%20B{__typename}",
        "query=%ff%fe",
        "query={__typename}&operationName=%ed%a0%80",
        "variables={}",
    ],
)
async def test_a_bad_query_by_get_is_bad_input(florin: Florin, parameters: str) -> None:
    response = await florin.http.get(f"/graphql?{parameters}", headers={"Accept": "application/json"})
    assert_bad_input(response, "application/json")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"])
async def test_other_methods_are_refused(florin: Florin, method: str) -> None:
    response = await florin.http.request(method, "/graphql")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/json;q=0", "application/xml, text/plain"])
async def test_an_answer_that_we_do_not_have_is_not_acceptable(ada: Person, accept: str) -> None:
    response = await ada.send("{ __typename }", Accept=accept)
    assert response.status_code == 406
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_ACCEPTABLE"


@pytest.mark.parametrize("path", ["/", "/graphql/", "/GRAPHQL", "/webhooks", "/.env", "/%00"])
async def test_there_is_nothing_at_other_addresses(florin: Florin, path: str) -> None:
    response = await florin.http.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "NOT_FOUND"
    assert response.json()["requestId"] == response.headers["x-request-id"]


async def test_below_a_root_path_the_addresses_are_the_same(florin: Florin) -> None:
    transport = httpx2.ASGITransport(app=florin.app, root_path="/shop")
    async with httpx2.AsyncClient(transport=transport, base_url="http://florin.example") as client:
        answer = await client.post("/shop/graphql", json={"query": "{ __typename }"})
    assert answer.json() == {"data": {"__typename": "Query"}}


async def test_health(florin: Florin) -> None:
    alive, ready = await florin.http.get("/healthz"), await florin.http.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


def assert_bad_input(response: httpx2.Response, media_type: str) -> None:
    answer = response.json()
    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_INPUT"}, answer
    assert all(error["extensions"]["requestId"] == response.headers["x-request-id"] for error in answer["errors"])
    assert response.status_code in ({200, 400} if media_type == "application/json" else {400})


def assert_no_fault(logs: str) -> None:
    assert "Traceback" not in logs
    assert '"level":"error"' not in logs
