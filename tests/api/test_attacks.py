"""A server as production runs it, under the checks of graphql-cop and what else is tried on any GraphQL address.

graphql-cop's package on the index is a placeholder, so that its twelve checks are made here anew; clairvoyance, which rebuilds a
schema from error messages, is run as it is.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx2
import pytest
from graphql import get_introspection_query
from sqlalchemy.ext.asyncio import AsyncEngine

from api.graphql.schema import schema
from app.settings_group import Environment
from tests.api.application import PAY, Florin, Json, payment, running
from tests.support.serving import serving

ORIGIN = "https://shop.example"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NAMES = sorted(
    {name for name in schema._schema.type_map if not name.startswith("__")}
    | {field for kind in schema._schema.type_map.values() for field in getattr(kind, "fields", {})}
)
"""Every name that only somebody knows who knows the schema."""


@pytest.fixture
async def florin(engine: AsyncEngine) -> AsyncIterator[Florin]:
    async with running(engine, environment=Environment.PRODUCTION, cors_origins=ORIGIN) as application:
        yield application


def assert_refused(response: httpx2.Response, code: str = "BAD_INPUT") -> Json:
    """No data, and one error with a code that says nothing of the schema."""
    answer: Json = response.json()
    assert "data" not in answer
    [error] = answer["errors"]
    assert error["extensions"]["code"] == code, answer
    return answer


ATTACKS = {
    "alias overload": "{ " + " ".join(f"a{n}: __typename" for n in range(101)) + " }",
    "directive overload": "{ __typename " + "@aa" * 10 + " }",
    "known directive overload": "{ __typename " + "@skip(if: false) " * 10 + " }",
    "field duplication": "{ " + "__typename " * 500 + "}",
    "circular introspection": "{ __schema { types { " + "fields { type { " * 4 + "name" + " } }" * 4 + " } } }",
    "a fragment bomb": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(25))
    + " fragment F25 on Query { __typename }",
}


@pytest.mark.parametrize("document", ATTACKS.values(), ids=ATTACKS.keys())
async def test_overloads_are_refused(florin: Florin, document: str) -> None:
    for client in (florin.anonymous, florin.ada):
        assert_refused(await client.send(document))


async def test_batches_are_refused(florin: Florin) -> None:
    body = json.dumps([{"query": "{ __typename }"}] * 10).encode()
    assert_refused(await florin.anonymous.post(body))
    assert_refused(await florin.anonymous.post(b'[{"query": "{ __typename }"}]'))


async def test_a_mutation_by_get_is_refused(florin: Florin) -> None:
    before = await florin.traces()
    parameters = urlencode({"query": PAY, "variables": json.dumps({"input": payment()})})
    for headers in ({}, {"Authorization": f"Bearer {florin.ada.token}"}):
        assert_refused(await florin.http.get(f"/graphql?{parameters}", headers=headers))
    assert await florin.traces() == before


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {"Content-Type": "text/plain"}, {"Authorization": ""}, {"Cookie": "a=b"}],
)
async def test_a_query_by_get_needs_a_header_that_no_other_site_can_send(
    florin: Florin, headers: dict[str, str]
) -> None:
    accept = {"Accept": "application/json"}
    assert_refused(await florin.http.get("/graphql?query={__typename}", headers=accept | headers))


@pytest.mark.parametrize("name", ["GraphQL-Require-Preflight", "Apollo-Require-Preflight", "X-Requested-With"])
async def test_a_query_by_get_with_such_a_header_is_answered(florin: Florin, name: str) -> None:
    response = await florin.http.get("/graphql?query={__typename}", headers={name: "1"})
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_development_answers_get_but_not_for_another_site(engine: AsyncEngine) -> None:
    async with running(engine) as florin:
        address = "/graphql?query={__typename}"
        assert (await florin.http.get(address)).json() == {"data": {"__typename": "Query"}}
        for site in ("cross-site", "same-site"):
            assert_refused(await florin.http.get(address, headers={"Sec-Fetch-Site": site}))
        for site in ("same-origin", "none"):
            assert (await florin.http.get(address, headers={"Sec-Fetch-Site": site})).status_code == 200


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/x-www-form-urlencoded", "query=" + quote("{ __typename }")),
        ("text/plain", '{"query": "{ __typename }"}'),
        ("multipart/form-data; boundary=a", '--a\r\nContent-Disposition: form-data; name="query"\r\n\r\n{a}\r\n--a--'),
    ],
)
async def test_a_form_is_refused(florin: Florin, media_type: str, body: str) -> None:
    response = await florin.http.post("/graphql", content=body.encode(), headers={"Content-Type": media_type})
    assert response.status_code == 415
    assert_refused(response, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("path", ["/", "/graphql", "/graphiql", "/playground", "/altair", "/console", "/graphql/"])
async def test_there_is_no_page_for_queries(florin: Florin, path: str) -> None:
    response = await florin.http.get(path, headers=BROWSER)
    assert response.status_code in {400, 404, 406}
    assert not response.headers["content-type"].startswith("text/html")
    assert "graphiql" not in response.text.lower()


@pytest.mark.parametrize(
    "document",
    [
        get_introspection_query(),
        "{ __schema { queryType { name } } }",
        '{ __type(name: "User") { name } }',
        "{ a: __schema { __typename } }",
        "{ ...A } fragment A on Query { ... { __schema { __typename } } }",
        "query A { __typename ...B } fragment B on Query { __schema { __typename } }",
    ],
)
async def test_introspection_is_for_administrators_alone(florin: Florin, document: str) -> None:
    for client in (florin.anonymous, florin.ada, florin.grace):
        assert_refused(await client.send(document), "FORBIDDEN")
    assert "errors" not in (await florin.margaret.send(document)).json()


async def test_a_setting_lets_everybody_introspect(engine: AsyncEngine) -> None:
    async with running(engine, environment=Environment.PRODUCTION, introspection_in_production=True) as florin:
        assert "errors" not in (await florin.anonymous.send(get_introspection_query())).json()
        [error] = (await florin.anonymous.send("{ transactio }")).json()["errors"]
        assert "transactions" in error["message"]


INVALID = {
    "an unknown field": "{ transactio }",
    "a field of another type": "{ me { transaction } }",
    "no selection": "{ me }",
    "a selection of a scalar": "{ me { id { a } } }",
    "an unknown argument": "{ transaction(identifier: 1) { id } }",
    "a missing argument": "{ transaction { id } }",
    "a wrong argument": "{ transaction(id: {}) { id } }",
    "a wrong enum": "{ transactions(filter: {status: [PENDIN]}) { totalCount } }",
    "a wrong input field": "{ transactions(filter: {statu: PENDING}) { totalCount } }",
    "a missing input field": "mutation { createPayment(input: {}) { replayed } }",
    "a wrong scalar": '{ transactions(filter: {createdFrom: "x"}) { totalCount } }',
    "an unknown type": "query ($a: Transactio) { __typename }",
    "an output type for a variable": "query ($a: Transaction) { __typename }",
    "a variable of another type": "query ($a: Int!) { transaction(id: $a) { id } }",
    "a fragment that cannot be": "{ me { ... on Refund { id } } }",
    "a fragment on a scalar": "{ me { ... on String { id } } }",
    "fields that conflict": "{ me { a: id a: name } }",
    "an unknown directive": "{ __typename @live }",
    "a subscription": "subscription { transactions }",
    "a mutation that is none": "mutation { createPaymen { id } }",
}


@pytest.mark.parametrize("document", INVALID.values(), ids=INVALID.keys())
async def test_no_message_names_the_schema(florin: Florin, document: str) -> None:
    for client in (florin.anonymous, florin.ada):
        answer = assert_refused(await client.send(document))
        [error] = answer["errors"]
        assert error["message"] == "The document does not fit the schema."
        assert set(error) == {"message", "extensions"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"input": None},
        {"input": {}},
        {"input": {"idempotencyKe": "a"}},
        {"input": {**payment(), "money": {"currency": "US", "amount": "1"}}},
        {"input": {**payment(), "money": {"currency": "USD", "amount": 1.5}}},
        {"input": {**payment(), "captureMethod": "AUTO"}},
        {"input": {**payment(), "idempotencyKey": 5}},
    ],
)
async def test_no_message_about_variables_names_the_schema(florin: Florin, variables: Json) -> None:
    before = await florin.traces()
    for client in (florin.anonymous, florin.ada):
        answer = assert_refused(await client.send(PAY, variables))
        message = answer["errors"][0]["message"]
        assert message == "A variable does not have the type that the operation gives it."
    assert await florin.traces() == before


async def test_an_argument_that_is_null_by_a_variable_names_nothing(florin: Florin) -> None:
    document = 'query ($a: ID = "a") { transaction(id: $a) { id } }'
    answer = (await florin.ada.send(document, {"a": None})).json()
    assert not {word for word in NAMES if f"'{word}" in answer["errors"][0]["message"]}
    assert answer["errors"][0]["message"] == "A value does not have the type that it should."


async def test_nothing_is_traced_or_told_beside_the_answer(florin: Florin) -> None:
    response = await florin.anonymous.send(
        "{ __typename }", X_Apollo_Tracing="1", Apollo_Federation_Include_Trace="ftv1"
    )
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("body", [b"{", b'{"query": 5}', b'{"query": "{"}', b'{"query": "query A { __typename }x"}'])
async def test_errors_tell_nothing_of_what_is_behind(florin: Florin, body: bytes) -> None:
    text = (await florin.anonymous.post(body)).text.lower()
    for word in ("traceback", "graphql-core", "strawberry", "starlette", "python", "/work", "site-packages"):
        assert word not in text


async def test_answers_carry_what_browsers_go_by(florin: Florin) -> None:
    answers = [
        await florin.anonymous.send("{ __typename }"),
        await florin.anonymous.send("{ unknown }"),
        await florin.anonymous.post(b"no JSON"),
        await florin.http.get("/healthz"),
        await florin.http.get("/nowhere"),
        await florin.http.post("/webhooks/stripe", content=b""),
    ]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers


async def test_only_known_origins_may_call_from_a_browser(florin: Florin) -> None:
    def question(origin: str) -> dict[str, str]:
        return {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }

    known = await florin.http.options("/graphql", headers=question(ORIGIN))
    assert known.status_code == 204
    assert known.headers["access-control-allow-origin"] == ORIGIN
    assert "Authorization" in known.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in known.headers
    answered = await florin.anonymous.send("{ __typename }", Origin=ORIGIN)
    assert answered.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in answered.headers["vary"]
    foreign = ("https://evil.example", f"{ORIGIN}.evil.example", "http://shop.example", f"{ORIGIN}:8443", "null", "*")
    for origin in foreign:
        refused = await florin.http.options("/graphql", headers=question(origin))
        assert refused.status_code == 405
        read = await florin.anonymous.send("{ __typename }", Origin=origin)
        for response in (refused, read):
            assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_a_websocket_is_refused_by_the_application_too(florin: Florin) -> None:
    """No server of ours offers one; another ASGI server might."""
    for origin in (b"https://evil.example", ORIGIN.encode()):
        sent: list[Json] = []

        async def receive() -> Json:
            return {"type": "websocket.connect"}

        async def send(message: Json) -> None:
            sent.append(message)  # noqa: B023  called before the next turn

        scope: Json = {
            "type": "websocket",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "query_string": b"",
            "headers": [(b"origin", origin), (b"host", b"florin.example")],
            "subprotocols": ["graphql-transport-ws"],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "scheme": "ws",
        }
        await florin.app(scope, receive, send)  # type: ignore[arg-type]  # a message is a mapping to Starlette
        assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.fixture(scope="session")
def clairvoyance() -> Sequence[str]:
    """The command, in an environment of its own: it wants an older `rich` than Florin does."""
    tools = Path(__file__).parents[2] / ".tools"
    # Where scripts/bootstrap.sh looks for it, or puts it.
    uv = next(filter(None, (shutil.which("uv", path=tools / each / "bin") for each in ("uv", "uv-packages"))), "uv")
    # Certificates as this machine trusts them, as it does there.
    command = (uv, "tool", "run", "--native-tls", "--quiet", "--from", "clairvoyance==2.5.5", "clairvoyance")
    # Installed here, so that the runs themselves take no longer than they take.
    subprocess.run([*command, "--help"], check=True, capture_output=True, timeout=120)
    return command


@pytest.mark.parametrize("shown", [False, True], ids=["production", "where everybody may introspect"])
async def test_clairvoyance_rebuilds_nothing(
    engine: AsyncEngine, tmp_path: Path, clairvoyance: Sequence[str], shown: bool
) -> None:
    """It is given the very names of the schema, and asks for each by itself. Where messages tell, it finds them."""
    words = tmp_path / "words.txt"
    words.write_text("\n".join(["me", "transactions", "nodes", "createPayment", "transaction", "refunds", "login"]))
    found = tmp_path / "schema.json"
    async with (
        running(engine, environment=Environment.PRODUCTION, introspection_in_production=shown) as florin,
        serving(florin.app) as url,
    ):
        process = await asyncio.create_subprocess_exec(
            *(*clairvoyance, "-w", str(words), "-o", str(found), "-m", "1", f"{url}/graphql"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(600):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    rebuilt = (output.decode() if not found.exists() else found.read_text()).split('"')
    assert ("TransactionConnection" in rebuilt) is shown
