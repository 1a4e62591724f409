"""Errors at the top level: coded, with the request's id, and silent about what is none of the client's business."""

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.access_tokens import AccessTokens
from api.cross_site import CrossSite
from domain.access import Scope
from domain.audit import AuditEntry
from domain.ids import TransactionId
from domain.payments.queries import Page, PageRequest
from persistence.engine import DatabaseConfig, open_engine
from persistence.reader import SqlReader
from tests.api.application import Florin, Person, running
from tests.api.stored import store
from tests.support.captured_logs import captured_logs

LIST = "query List { transactions { nodes { id auditLog { totalCount } refunds { totalCount } } } }"


class BrokenReader(SqlReader):
    """Fails in a way that nobody foresaw, with something in its message that nobody may see."""

    async def audit_log_of(
        self, transaction_ids: Sequence[TransactionId], page: PageRequest, scope: Scope
    ) -> dict[TransactionId, Page[AuditEntry]]:
        raise RuntimeError(" ".join(("the canary sang at", "sk_test_" + "canary")))


@pytest.fixture
async def broken(engine: AsyncEngine) -> AsyncIterator[Florin]:
    async with running(engine, reader=BrokenReader(engine)) as florin:
        yield florin


async def test_a_fault_of_ours_is_masked_and_logged_once(broken: Florin) -> None:
    await store(broken, broken.ada)
    with captured_logs() as logs:
        response = await broken.ada.send(LIST, X_Request_ID="my-request")
    answer = response.json()
    assert response.status_code == 200
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "retryable": True, "requestId": "my-request"}
    assert error["path"] == ["transactions", "nodes", 0, "auditLog"]
    assert "canary" not in response.text
    assert "RuntimeError" not in response.text
    (line,) = logs.named("graphql.field_failed")
    assert line["level"] == "error"
    assert line["request_id"] == "my-request"
    assert "Traceback" in line["exception"]
    assert "RuntimeError: the canary sang at [redacted]" in line["exception"]
    assert logs.text.count("RuntimeError: the canary sang") == 1


async def test_a_fault_of_ours_before_anything_ran_has_the_shape_of_an_answer_too(
    florin: Florin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_verify(*_: object) -> None:
        raise RuntimeError("the canary sang")

    monkeypatch.setattr(AccessTokens, "verify", broken_verify)
    with captured_logs() as logs:
        response = await florin.ada.send(LIST, X_Request_ID="my-request")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/json; charset=utf-8")
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "retryable": True, "requestId": "my-request"}
    assert set(response.json()) == {"errors"}
    assert "canary" not in response.text
    (line,) = logs.named("request.failed")
    assert "RuntimeError: the canary sang" in line["exception"]
    assert logs.text.count("RuntimeError: the canary sang") == 1


async def test_a_fault_around_the_answer_of_graphql_is_masked_too(
    florin: Florin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_headers(*_: object) -> None:
        raise RuntimeError("the canary sang")

    monkeypatch.setattr(CrossSite, "headers", broken_headers)
    with captured_logs() as logs:
        response = await florin.ada.send("{ __typename }")
    assert response.status_code == 500
    assert response.json()["code"] == "INTERNAL"
    assert response.json()["requestId"] == response.headers["x-request-id"]
    assert response.headers["x-frame-options"] == "DENY"
    assert "canary" not in response.text
    assert len(logs.named("request.failed")) == 1
    assert [line["status"] for line in logs.named("request")] == [500]


async def test_a_fault_outside_of_graphql_is_masked_too(florin: Florin) -> None:
    def broken_check(*_: object) -> None:
        raise RuntimeError("the canary sang")

    (route,) = [route for route in florin.app.routes if getattr(route, "path", "") == "/healthz"]
    route.app = broken_check  # type: ignore[attr-defined]  # a route has an application
    with captured_logs() as logs:
        response = await florin.http.get("/healthz")
    assert response.status_code == 500
    assert response.json()["code"] == "INTERNAL"
    assert response.json()["requestId"] == response.headers["x-request-id"]
    assert "canary" not in response.text
    assert len(logs.named("request.failed")) == 1
    assert [line["status"] for line in logs.named("request")] == [500]


async def test_without_a_free_connection_the_service_is_unavailable(engine: AsyncEngine, app_database_url: str) -> None:
    config = DatabaseConfig(url=app_database_url, pool_size=1, pool_timeout_seconds=0.01)
    small = open_engine(config)
    try:
        async with running(small) as florin:
            before = await florin.traces()
            async with small.connect():
                with captured_logs() as logs:
                    response = await florin.ada.send("{ me { id } }")
                    hook = await florin.http.get("/readyz")
            assert response.status_code == 503
            (error,) = response.json()["errors"]
            assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("UNAVAILABLE", True)
            assert hook.status_code == 503
            assert "database" in hook.json()["missing"]
            assert "Traceback" not in logs.text
            assert (await florin.ada.ask("{ me { id } }"))["me"]["id"] == florin.ada.id
            assert await florin.traces() == before
    finally:
        await small.dispose()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nonsense",
        "Bearer ",
        "Bearer",
        "Basic YTpi",
        "bearer  a b c",
        "Bearer a.b.c",
        "Bearer " + "a" * 5000,
        # A header that names no algorithm, and one that is deep.
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer " + "e30." * 1000,
    ],
)
async def test_a_bad_token_is_refused_before_anything_runs(florin: Florin, header: str) -> None:
    with captured_logs() as logs:
        response = await florin.anonymous.send("{ __typename }", Authorization=header)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert "Traceback" not in logs.text


async def test_two_tokens_are_one_too_many(florin: Florin, ada: Person) -> None:
    headers = [("Content-Type", "application/json"), *[("Authorization", f"Bearer {ada.token}")] * 2]
    response = await florin.http.post("/graphql", content=b'{"query": "{ __typename }"}', headers=headers)
    assert response.status_code == 401
