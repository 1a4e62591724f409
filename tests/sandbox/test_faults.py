"""Faults that were asked for: what the client sees, what was done, and what the idempotency key answers afterwards."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from sandbox.connections import ConnectionDropped
from sandbox.endpoints import ENDPOINTS
from sandbox.server import SandboxConfig, create_app
from sandbox.store import StateFileError
from tests.sandbox.driver import CARD, KEY, Driver, Json, driving, listening
from tests.sandbox.programs import running
from tests.sandbox.receiver import DEADLINE_SECONDS

_PAYMENT = {"amount": 1099, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa", **CARD}
_PATH = "/v1/payment_intents"


@pytest.fixture
async def sandbox() -> AsyncIterator[Driver]:
    """On a real port, because most faults are of the connection."""
    async with listening(SandboxConfig()) as driver:
        yield driver


async def _pay(sandbox: Driver, key: str = "k") -> httpx2.Response:
    return await sandbox.send("POST", _PATH, _PAYMENT, idempotency_key=key)


async def _paid(sandbox: Driver) -> int:
    return len((await sandbox.get("/v1/charges"))["data"])


def _refused(response: httpx2.Response) -> tuple[int, str | None]:
    return response.status_code, response.json()["error"].get("code")


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limit", 429, "rate_limit"),
        ("lock_timeout", 429, "lock_timeout"),
        ("key_in_use", 409, "idempotency_key_in_use"),
    ],
)
async def test_refused_at_the_door_nothing_is_done_or_kept(sandbox: Driver, kind: str, status: int, code: str) -> None:
    await sandbox.fault("payment_intents.create", kind)
    response = await _pay(sandbox)
    assert _refused(response) == (status, code)
    assert response.headers["Stripe-Should-Retry"] == "true"
    assert await _paid(sandbox) == 0

    again = await _pay(sandbox)
    assert again.status_code == 200
    assert "Idempotent-Replayed" not in again.headers
    assert await _paid(sandbox) == 1


async def test_a_dropped_request_is_not_executed(sandbox: Driver) -> None:
    await sandbox.fault("payment_intents.create", "drop_request")
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        await _pay(sandbox)
    assert await _paid(sandbox) == 0
    again = await _pay(sandbox)
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (200, False)


async def test_an_unavailable_processor_answers_with_a_page_and_does_nothing(sandbox: Driver) -> None:
    await sandbox.fault("payment_intents.create", "unavailable")
    response = await _pay(sandbox)
    assert (response.status_code, response.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert not {"Request-Id", "Idempotency-Key"} & set(response.headers)
    assert await _paid(sandbox) == 0
    assert (await _pay(sandbox)).status_code == 200


@pytest.mark.parametrize(("kind", "done"), [("error_with_effect", 1), ("error_without_effect", 0)])
async def test_an_error_is_kept_whether_it_had_an_effect_or_not(sandbox: Driver, kind: str, done: int) -> None:
    await sandbox.fault("payment_intents.create", kind)
    first = await _pay(sandbox)
    assert (first.status_code, first.json()["error"]["type"]) == (500, "api_error")
    assert first.headers["Stripe-Should-Retry"] == "false"
    assert await _paid(sandbox) == done

    again = await _pay(sandbox)
    assert (again.status_code, again.content, again.headers["Idempotent-Replayed"]) == (500, first.content, "true")
    assert await _paid(sandbox) == done
    assert (await _pay(sandbox, "another")).status_code == 200


@pytest.mark.parametrize("kind", ["drop_response", "truncated_body", "malformed_json", "html_body"])
async def test_what_was_lost_on_the_way_back_was_done_and_is_repeated_whole(sandbox: Driver, kind: str) -> None:
    await sandbox.fault("payment_intents.create", kind)
    if kind in {"drop_response", "truncated_body"}:
        message = "without sending a response" if kind == "drop_response" else "complete message body"
        with pytest.raises(httpx2.RemoteProtocolError, match=message):
            await _pay(sandbox)
    else:
        response = await _pay(sandbox)
        assert response.status_code == 200
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            response.json()
        html = response.headers["Content-Type"].startswith("text/html")
        assert html is (kind == "html_body")
    assert await _paid(sandbox) == 1

    again = await _pay(sandbox)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["status"] == "succeeded"
    assert await _paid(sandbox) == 1


@pytest.mark.parametrize("kind", ["drip", "delay_before", "delay_after"])
async def test_slow_answers_are_whole(sandbox: Driver, kind: str) -> None:
    await sandbox.fault("payment_intents.create", kind, seconds=0.3)
    response = await _pay(sandbox)
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")


async def test_dripping_bytes_come_one_after_the_other(sandbox: Driver) -> None:
    await sandbox.fault("account.retrieve", "drip", seconds=0.5)
    headers = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": "identity"}
    async with sandbox.client.stream("GET", "/v1/account", headers=headers) as response:
        pieces = [piece async for piece in response.aiter_raw()]
    assert len(pieces) >= 2
    assert b"".join(pieces) == (await sandbox.send("GET", "/v1/account")).content


async def test_a_delay_before_holds_the_key_and_one_after_does_not() -> None:
    async with driving(SandboxConfig()) as sandbox:
        await sandbox.fault("payment_intents.create", "delay_before", seconds=600)
        waiting = asyncio.create_task(_pay(sandbox))
        await _until_fired(sandbox)
        assert _refused(await _pay(sandbox)) == (409, "idempotency_key_in_use")
        assert await _paid(sandbox) == 0
        waiting.cancel()

        await sandbox.fault("payment_intents.create", "delay_after", seconds=600)
        answered = asyncio.create_task(_pay(sandbox, "other"))
        await _until_fired(sandbox)
        assert (await _pay(sandbox, "other")).headers["Idempotent-Replayed"] == "true"
        assert await _paid(sandbox) == 1
        answered.cancel()
        await asyncio.gather(waiting, answered, return_exceptions=True)


async def _until_fired(sandbox: Driver) -> None:
    """The fault that was asked for last has happened."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (await _faults(sandbox))[-1]["fired"]:  # noqa: ASYNC110 - each look yields to the server
            await asyncio.sleep(0)


async def _faults(sandbox: Driver) -> list[Json]:
    faults: list[Json] = (await sandbox.get("/_sandbox/faults"))["data"]
    return faults


async def test_a_fault_happens_as_often_as_it_was_asked_for(sandbox: Driver) -> None:
    fault = await sandbox.fault("payment_intents.create", "rate_limit", times=3)
    assert (fault["remaining"], fault["fired"]) == (3, 0)
    statuses = [(await _pay(sandbox, f"k{number}")).status_code for number in range(5)]
    assert statuses == [429, 429, 429, 200, 200]
    shown = await sandbox.get(f"/_sandbox/faults/{fault['id']}")
    assert (shown["remaining"], shown["fired"], shown["matched"]) == (0, 3, 3)


async def test_without_times_a_fault_happens_once(sandbox: Driver) -> None:
    await sandbox.fault("account.retrieve", "rate_limit")
    statuses = [(await sandbox.send("GET", "/v1/account")).status_code for _ in range(2)]
    assert statuses == [429, 200]


async def _course(probability: float, seed: str, **parameters: object) -> str:
    async with driving(SandboxConfig()) as sandbox:
        await sandbox.fault("account.retrieve", "rate_limit", probability=probability, seed=seed, **parameters)
        statuses = [(await sandbox.send("GET", "/v1/account")).status_code for _ in range(200)]
        return "".join("x" if status == 429 else "." for status in statuses)


async def test_a_probability_is_drawn_from_a_source_that_a_seed_determines() -> None:
    course = await _course(0.25, "seven")
    # The numbers are always these; a fair source is within a few standard deviations (six) of fifty.
    assert 30 < course.count("x") < 70
    assert await _course(0.25, "seven") == course
    assert await _course(0.25, "eight") != course
    assert await _course(1, "seven") == "x" * 200
    assert await _course(0, "seven") == "." * 200
    limited = await _course(0.25, "seven", times=5)
    assert limited.count("x") == 5
    assert course.startswith(limited[: limited.rindex("x") + 1])


async def test_a_seed_is_chosen_and_told_where_none_was_given(sandbox: Driver) -> None:
    first, second = [await sandbox.fault("*", "rate_limit", probability=0.5) for _ in range(2)]
    assert first["seed"] != second["seed"]
    assert first["remaining"] is None


async def test_the_oldest_fault_that_strikes_comes_first(sandbox: Driver) -> None:
    await sandbox.fault("account.retrieve", "rate_limit", probability=0)
    await sandbox.fault("account.*", "lock_timeout")
    await sandbox.fault("*", "rate_limit")
    codes = [_refused(await sandbox.send("GET", "/v1/account"))[1] for _ in range(2)]
    assert codes == ["lock_timeout", "rate_limit"]
    assert [(fault["matched"], fault["fired"]) for fault in await _faults(sandbox)] == [(2, 0), (1, 1), (1, 1)]


async def test_a_fault_meets_only_its_endpoints(sandbox: Driver) -> None:
    await sandbox.fault("payment_intents.confirm", "rate_limit")
    await sandbox.fault("refunds.*", "lock_timeout")
    intent = await sandbox.unconfirmed()
    confirm = f"{_PATH}/{intent['id']}/confirm"
    assert (await sandbox.send("POST", confirm, {"payment_method": "pm_card_visa"})).status_code == 429
    await sandbox.post(confirm, {"payment_method": "pm_card_visa"})
    assert (await sandbox.send("POST", "/v1/refunds", {"payment_intent": intent["id"]})).status_code == 429
    await sandbox.post("/v1/refunds", {"payment_intent": intent["id"]})


async def test_the_repetition_of_an_answer_is_not_executed_and_uses_up_no_error(sandbox: Driver) -> None:
    await _pay(sandbox)
    for kind in ("error_with_effect", "error_without_effect", "key_in_use"):
        await sandbox.fault("payment_intents.create", kind)
    assert (await _pay(sandbox)).headers["Idempotent-Replayed"] == "true"
    assert [fault["fired"] for fault in await _faults(sandbox)] == [0, 0, 0]
    await sandbox.fault("payment_intents.create", "drop_response")
    with pytest.raises(httpx2.RemoteProtocolError):
        await _pay(sandbox)


async def test_only_a_request_with_a_key_can_find_it_in_use(sandbox: Driver) -> None:
    await sandbox.fault("*", "key_in_use")
    await sandbox.post(_PATH, _PAYMENT)
    await sandbox.get("/v1/account")
    assert (await _pay(sandbox)).status_code == 409


async def test_what_is_refused_is_refused_and_uses_up_no_fault(sandbox: Driver) -> None:
    await sandbox.fault("payment_intents.create", "error_with_effect")
    error = await sandbox.refused(400, "POST", _PATH, {**_PAYMENT, "amount": -1}, idempotency_key="k")
    assert error["param"] == "amount"
    assert [fault["fired"] for fault in await _faults(sandbox)] == [0]


async def test_an_error_with_effect_declines_a_card_all_the_same(sandbox: Driver) -> None:
    await sandbox.fault("payment_intents.create", "error_with_effect")
    declined = {**_PAYMENT, "payment_method": "pm_card_visa_chargeDeclined"}
    assert (await sandbox.send("POST", _PATH, declined)).status_code == 500
    assert "payment_intent.payment_failed" in await sandbox.event_types()


async def test_faults_are_shown_deleted_and_cleared(sandbox: Driver) -> None:
    made = [await sandbox.fault("*", "rate_limit") for _ in range(3)]
    assert await _faults(sandbox) == made
    assert (await sandbox.delete(f"/_sandbox/faults/{made[0]['id']}"))["deleted"] is True
    await sandbox.refused(404, "DELETE", f"/_sandbox/faults/{made[0]['id']}")
    await sandbox.refused(404, "GET", f"/_sandbox/faults/{made[0]['id']}")
    assert (await sandbox.delete("/_sandbox/faults"))["deleted"] == 2
    assert await _faults(sandbox) == []
    await sandbox.pay()


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"kind": "rate_limit"}, "endpoint"),
        ({"endpoint": "*"}, "kind"),
        ({"endpoint": "*", "kind": "bad_mood"}, "kind"),
        ({"endpoint": "payment_intents.conform", "kind": "rate_limit"}, "endpoint"),
        ({"endpoint": "", "kind": "rate_limit"}, "endpoint"),
        ({"endpoint": "*", "kind": "rate_limit", "times": 0}, "times"),
        ({"endpoint": "*", "kind": "rate_limit", "times": 1.5}, "times"),
        ({"endpoint": "*", "kind": "rate_limit", "times": True}, "times"),
        ({"endpoint": "*", "kind": "rate_limit", "probability": 1.01}, "probability"),
        ({"endpoint": "*", "kind": "rate_limit", "probability": "nan"}, "probability"),
        ({"endpoint": "*", "kind": "rate_limit", "probability": [1]}, "probability"),
        ({"endpoint": "*", "kind": "rate_limit", "seconds": 1}, "seconds"),
        ({"endpoint": "*", "kind": "drip"}, "seconds"),
        ({"endpoint": "*", "kind": "drip", "seconds": -1}, "seconds"),
        ({"endpoint": "*", "kind": "delay_before", "seconds": 601}, "seconds"),
        ({"endpoint": "*", "kind": "rate_limit", "sometimes": True}, "sometimes"),
        ({"endpoint": "*", "kind": "crash_before"}, "kind"),
    ],
)
async def test_a_fault_is_checked_and_a_wrong_one_is_not_planned(params: Json, param: str) -> None:
    async with driving(SandboxConfig()) as sandbox:
        headers = {"Authorization": f"Bearer {KEY}"}
        response = await sandbox.client.post("/_sandbox/faults", json=params, headers=headers)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        assert await _faults(sandbox) == []


async def test_controls_need_the_key(sandbox: Driver) -> None:
    for method, path in (("GET", "faults"), ("POST", "faults"), ("DELETE", "faults"), ("DELETE", "faults/flt_1")):
        assert (await sandbox.client.request(method, f"/_sandbox/{path}")).status_code == 401


@pytest.mark.parametrize("body", ["[]", "{", '"x"', "null"])
async def test_a_control_takes_a_json_object_only(sandbox: Driver, body: str) -> None:
    await sandbox.refused(400, "POST", "/_sandbox/faults", content_type="application/json")
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    response = await sandbox.client.post("/_sandbox/faults", content=body, headers=headers)
    assert response.status_code == 400


async def test_a_control_takes_a_form_too(sandbox: Driver) -> None:
    fault = await sandbox.post("/_sandbox/faults", {"endpoint": "*", "kind": "rate_limit", "times": 2})
    assert fault["remaining"] == 2


def test_every_endpoint_has_a_name_of_its_own() -> None:
    names = [endpoint.name for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)
    assert {
        "payment_intents.create",
        "payment_intents.confirm",
        "payment_intents.list",
        "charges.list_refunds",
        "customers.delete",
        "payment_methods.attach",
        "refunds.create",
        "refunds.update",
        "balance.retrieve",
    } <= set(names)


async def test_without_a_connection_the_client_is_told_by_an_exception() -> None:
    async with driving(SandboxConfig()) as sandbox:
        await sandbox.fault("payment_intents.create", "drop_response")
        with pytest.raises(ConnectionDropped):
            await _pay(sandbox)
        assert await _paid(sandbox) == 1


async def test_faults_last_as_long_as_the_state(tmp_path: Path) -> None:
    config = SandboxConfig(state_path=tmp_path / "state.db")
    async with driving(config) as sandbox:
        await sandbox.fault("account.retrieve", "rate_limit", times=2)
        assert (await sandbox.send("GET", "/v1/account")).status_code == 429
    async with driving(config) as sandbox:
        statuses = [(await sandbox.send("GET", "/v1/account")).status_code for _ in range(2)]
        assert statuses == [429, 200]


@pytest.mark.parametrize(("kind", "done"), [("crash_before", 0), ("crash_after", 1)])
async def test_a_crash_ends_the_process_before_or_after_the_effect(tmp_path: Path, kind: str, done: int) -> None:
    state_path = tmp_path / "state.db"
    async with running(state_path) as (process, sandbox):
        await sandbox.fault("payment_intents.create", kind)
        with pytest.raises(httpx2.TransportError):
            await _pay(sandbox)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await process.wait() == -signal.SIGKILL

    # It was used up before it struck, or else the program could never get past it.
    async with running(state_path) as (_, sandbox):
        assert [fault["remaining"] for fault in await _faults(sandbox)] == [0]
        assert await _paid(sandbox) == done
        again = await _pay(sandbox)
        assert (again.status_code, "Idempotent-Replayed" in again.headers) == (200, bool(done))
        assert await _paid(sandbox) == 1


async def test_a_state_file_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with driving(SandboxConfig(state_path=path)) as sandbox:
        paid = await sandbox.pay()
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE faults; DROP INDEX deliveries_held; ALTER TABLE deliveries DROP COLUMN held; "
        "DROP INDEX objects_by_creation; PRAGMA user_version = 1;"
    )
    connection.close()
    async with driving(SandboxConfig(state_path=path)) as sandbox:
        assert await sandbox.get(f"{_PATH}/{paid['id']}") == paid
        assert await _faults(sandbox) == []
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.close()
    with pytest.raises(StateFileError, match="version"):
        create_app(SandboxConfig(state_path=path))
