"""Authentication, headers, decoding and strictness: what is refused before anything is done."""

import base64

import httpx2
import pytest

from sandbox.server import SandboxConfig
from tests.sandbox.driver import CARD, KEY, Driver, driving

_PAYMENT = {"amount": 1099, "currency": "usd", **CARD}


async def test_a_bearer_key_and_basic_authentication_are_equal(sandbox: Driver) -> None:
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    response = await sandbox.client.get("/v1/charges", headers={"Authorization": f"Basic {basic}"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "You did not provide an API key."),
        ("Bearer ", "You did not provide an API key."),
        ("Basic !!!", "You did not provide an API key."),
        ("Bearer sk_test_somebody_elses", "Invalid API Key provided: sk_test_**********lses"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/charges", "/v1/nothing", "/_sandbox/clock"])
async def test_without_the_key_nothing_is_answered(sandbox: Driver, path: str, header: str | None, told: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = await sandbox.client.get(path, headers=headers)

    assert response.status_code == 401
    assert response.json()["error"]["message"].startswith(told)
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert "WWW-Authenticate" in response.headers


async def test_the_health_page_needs_no_key(sandbox: Driver) -> None:
    response = await sandbox.client.get("/_sandbox/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


def test_a_live_key_is_never_configured() -> None:
    with pytest.raises(ValueError, match="sk_test_"):
        SandboxConfig(api_keys=("sk_live_oops",))


async def test_every_answer_names_its_request_and_version(sandbox: Driver) -> None:
    answers = [await sandbox.send("GET", "/v1/charges"), await sandbox.send("GET", "/v1/charges/ch_none")]
    assert len({answer.headers["Request-Id"] for answer in answers}) == 2
    assert {answer.headers["Stripe-Version"] for answer in answers} == {"2026-10-28.endive"}
    assert answers[1].headers["Stripe-Should-Retry"] == "false"


async def test_every_api_version_is_answered_in_the_sandboxs_own(sandbox: Driver) -> None:
    response = await sandbox.send("GET", "/v1/charges", stripe_version="2026-08-26.dahlia")
    assert (response.status_code, response.headers["Stripe-Version"]) == (200, "2026-10-28.endive")
    error = await sandbox.refused(400, "GET", "/v1/charges", stripe_version="latest")
    assert "latest" in error["message"]


async def test_unknown_paths_and_methods(sandbox: Driver) -> None:
    error = await sandbox.refused(404, "GET", "/v1/charges/")
    assert error["message"].startswith("Unrecognized request URL (GET: /v1/charges/)")

    response = await sandbox.send("DELETE", "/v1/refunds")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"amount": 1099, "currency": "usd"}', "application/json"),
        (b"amount=1099&currency=usd", "text/plain"),
        (b"amount=1099&currency=usd&description=\xff", "application/x-www-form-urlencoded"),
        (b"amount=1099&currency=usd&description=%ff", "application/x-www-form-urlencoded"),
        (b"amount=1099&currency=usd&amount[x]=1", "application/x-www-form-urlencoded"),
        (b"amount=1099&currency=usd&a]b=1", "application/x-www-form-urlencoded"),
        (b"amount=1099&currency=usd&" + b"a[b]" * 20 + b"=1", "application/x-www-form-urlencoded"),
        (b"&".join([b"expand[]=customer"] * 2_000), "application/x-www-form-urlencoded"),
        (b"description=" + b"x" * 600_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_bodies_that_are_no_form(sandbox: Driver, content: bytes, content_type: str) -> None:
    response = await sandbox.client.post(
        "/v1/payment_intents",
        content=content,
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": content_type},
    )
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert (await sandbox.get("/v1/payment_intents"))["data"] == []


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount": 1099}, "parameter_missing", "currency"),
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({**_PAYMENT, "colour": "red"}, "parameter_unknown", "colour"),
        ({**_PAYMENT, "automatic_payment_methods[enable]": True}, "parameter_unknown", "automatic_payment_methods[enable]"),
        ({**_PAYMENT, "transfer_data[destination]": "acct_1"}, "parameter_unknown", "transfer_data"),
        ({**_PAYMENT, "amount": "ten"}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "amount": "10.00"}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "amount": 0}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "amount": -1099}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "amount": ""}, "parameter_invalid_empty", "amount"),
        ({**_PAYMENT, "amount": 49}, "amount_too_small", "amount"),
        ({**_PAYMENT, "amount": 100_000_000}, "amount_too_large", "amount"),
        ({**_PAYMENT, "amount": 29, "currency": "gbp"}, "amount_too_small", "amount"),
        ({**_PAYMENT, "amount": 1001, "currency": "kwd"}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "amount": 1010, "currency": "isk"}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "amount": 1010, "currency": "ugx"}, "parameter_invalid_integer", "amount"),
        ({**_PAYMENT, "currency": "xyz"}, None, "currency"),
        ({**_PAYMENT, "capture_method": "later"}, None, "capture_method"),
        ({**_PAYMENT, "confirm": "yes"}, None, "confirm"),
        ({**_PAYMENT, "metadata": "x"}, None, "metadata"),
        ({**_PAYMENT, "metadata[a][b]": "x"}, None, "metadata[a]"),
        ({**_PAYMENT, f"metadata[{'k' * 41}]": "x"}, None, "metadata"),
        ({**_PAYMENT, "metadata[k]": "x" * 501}, None, "metadata[k]"),
        ({**_PAYMENT, **{f"metadata[k{n}]": "x" for n in range(51)}}, None, "metadata"),
        ({**_PAYMENT, "receipt_email": "nobody"}, "email_invalid", "receipt_email"),
        ({**_PAYMENT, "confirm": True, "return_url": "/back"}, "url_invalid", "return_url"),
        ({**_PAYMENT, "confirm": True, "return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
        ({**_PAYMENT, "return_url": "https://shop.test/"}, None, "return_url"),
        ({**_PAYMENT, "automatic_payment_methods[enabled]": True}, "parameters_exclusive", "automatic_payment_methods"),
        ({**_PAYMENT, "payment_method_types[]": "klarna"}, None, "payment_method_types"),
        ({"amount": 1099, "currency": "usd", "allowed_payment_method_types[]": "klarna"}, None, "allowed_payment_method_types"),
        ({"amount": 1099, "currency": "usd", "excluded_payment_method_types[]": "card"}, None, "excluded_payment_method_types"),
        ({**_PAYMENT, "allowed_payment_method_types[]": "card"}, "parameters_exclusive", "payment_method_types"),
        ({**_PAYMENT, "customer": "cus_none"}, "resource_missing", "customer"),
        ({**_PAYMENT, "payment_method": "pm_none"}, "resource_missing", "payment_method"),
        ({**_PAYMENT, "statement_descriptor": "SHOP"}, None, "statement_descriptor"),
        ({**_PAYMENT, "statement_descriptor_suffix": "123"}, None, "statement_descriptor_suffix"),
        ({**_PAYMENT, "expand[]": "amount"}, None, "expand"),
    ],
)  # fmt: skip
async def test_parameters_are_taken_strictly(
    sandbox: Driver, params: dict[str, object], code: str | None, param: str
) -> None:
    error = await sandbox.refused(400, "POST", "/v1/payment_intents", params)

    assert (error.get("code"), error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert (await sandbox.get("/v1/payment_intents"))["data"] == []
    assert (await sandbox.get("/v1/events"))["data"] == []


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (50, "usd"), (99_999_999, "usd"), (50, "jpy"), (30, "gbp"), (1000, "kwd"), (1000, "isk"), (1000, "ugx"),
        (999_999_999_999, "idr"), (1, "mga"), (17500, "huf"), (1099, "USD"),
    ],
)  # fmt: skip
async def test_amounts_at_the_limits_are_taken(sandbox: Driver, amount: int, currency: str) -> None:
    intent = await sandbox.unconfirmed(amount=amount, currency=currency)
    assert (intent["amount"], intent["currency"]) == (amount, currency.lower())


async def test_lists_may_be_numbered_or_not(sandbox: Driver) -> None:
    for name in ("payment_method_types[]", "payment_method_types[0]"):
        intent = await sandbox.post("/v1/payment_intents", {"amount": 1099, "currency": "usd", name: "card"})
        assert (intent["payment_method_types"], intent["automatic_payment_methods"]) == (["card"], None)


async def test_metadata_is_merged_unset_and_cleared(sandbox: Driver) -> None:
    intent = await sandbox.unconfirmed(**{"metadata[a]": "1", "metadata[b]": "2"})
    path = f"/v1/payment_intents/{intent['id']}"

    assert (await sandbox.post(path, {"metadata[b]": "", "metadata[c]": "3"}))["metadata"] == {"a": "1", "c": "3"}
    many = {f"metadata[k{n}]": "x" for n in range(49)}
    assert (await sandbox.refused(400, "POST", path, many))["param"] == "metadata"
    assert (await sandbox.post(path, {"metadata": ""}))["metadata"] == {}


async def test_the_clock_moves_forward_by_form_or_json(sandbox: Driver) -> None:
    before = (await sandbox.get("/_sandbox/clock"))["now"]
    await sandbox.post("/_sandbox/clock", {"advance_seconds": 3_600})
    response = await sandbox.client.post(
        "/_sandbox/clock", json={"advance_seconds": 3_600}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert response.json()["offset_seconds"] == 7_200
    assert (await sandbox.unconfirmed())["created"] >= before + 7_200

    for wrong in ({"advance_seconds": -1}, {"advance_seconds": "nan"}, {"advance_seconds": "soon"}, {}, {"seconds": 1}):
        await sandbox.refused(400, "POST", "/_sandbox/clock", wrong)
    await sandbox.refused(404, "POST", "/_sandbox/payment_intents/pi_none/settle", {"outcome": "succeed"})
    await sandbox.refused(400, "POST", "/_sandbox/payment_intents/pi_none/settle", {"outcome": "perhaps"})


async def test_two_sandboxes_share_nothing(sandbox: Driver) -> None:
    intent = await sandbox.unconfirmed()
    async with driving(SandboxConfig()) as other:
        await other.refused(404, "GET", f"/v1/payment_intents/{intent['id']}")


async def test_a_fault_of_the_sandbox_is_answered_as_stripe_answers_its_own(
    sandbox: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("out of paper")

    monkeypatch.setattr("sandbox.machine.Machine.begin", broken)
    response: httpx2.Response = await sandbox.send("POST", "/v1/payment_intents", _PAYMENT)

    assert response.status_code == 500
    assert response.json()["error"]["type"] == "api_error"
    assert "paper" not in response.text
