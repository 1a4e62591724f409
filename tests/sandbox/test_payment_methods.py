"""Cards as they are typed, named, attached and used up. Numbers are read once and kept nowhere."""

from pathlib import Path

import pytest

from sandbox.cards import CARDS, passes_luhn
from sandbox.server import SandboxConfig
from tests.sandbox.driver import CARD, Driver, driving

_TYPED = {"type": "card", "card[exp_month]": 8, "card[exp_year]": 2040, "card[cvc]": "123"}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
async def test_every_test_card_can_be_named_or_typed(sandbox: Driver, card: object) -> None:
    name, number, brand = card.name, card.number, card.brand  # type: ignore[attr-defined] # an id function hides the type
    assert passes_luhn(number)
    named = await sandbox.get(f"/v1/payment_methods/pm_card_{name}")
    cvc = "1234" if brand == "amex" else "123"
    typed = await sandbox.post("/v1/payment_methods", {**_TYPED, "card[number]": number, "card[cvc]": cvc})

    assert named["card"]["brand"] == typed["card"]["brand"] == brand
    assert typed["card"]["last4"] == number[-4:]
    assert named["card"]["fingerprint"] == typed["card"]["fingerprint"]


@pytest.mark.parametrize(
    ("params", "status", "code", "param"),
    [
        ({"card[number]": "4242424242424241"}, 402, "incorrect_number", "number"),
        ({"card[number]": "4242"}, 402, "invalid_number", "number"),
        ({"card[number]": "4111111111111111"}, 402, "card_declined", None),
        ({"card[exp_month]": 13}, 402, "invalid_expiry_month", "exp_month"),
        ({"card[exp_year]": 2001}, 402, "invalid_expiry_year", "exp_year"),
        ({"card[cvc]": "12"}, 402, "invalid_cvc", "cvc"),
        ({"card[number]": ""}, 400, "parameter_invalid_empty", "card[number]"),
        ({"card[colour]": "red"}, 400, "parameter_unknown", "card[colour]"),
        ({"type": "klarna"}, 400, None, "type"),
    ],
)
async def test_cards_that_cannot_be_right(
    sandbox: Driver, params: dict[str, object], status: int, code: str | None, param: str | None
) -> None:
    asked = {**_TYPED, "card[number]": "4242 4242 4242 4242", **params}
    error = await sandbox.refused(status, "POST", "/v1/payment_methods", asked)
    assert (error.get("code"), error.get("param")) == (code, param)


def _everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_number_is_stored_nowhere(tmp_path: Path) -> None:
    async with driving(SandboxConfig(state_path=tmp_path / "state.db")) as sandbox:
        for number in ("4242424242424242", "4000000000000002"):
            made = await sandbox.post(
                "/v1/payment_methods", {**_TYPED, "card[number]": number}, idempotency_key=number[-4:]
            )
            await sandbox.send(
                "POST",
                "/v1/payment_intents",
                {"amount": 999, "currency": "usd", **CARD, "confirm": True, "payment_method": made["id"]},
            )
    kept = _everything_in(tmp_path)
    assert b"4242" in kept
    assert b"424242" not in kept
    assert b"400000" not in kept


async def test_tokens_and_inline_data(sandbox: Driver) -> None:
    by_token = await sandbox.post("/v1/payment_methods", {"type": "card", "card[token]": "tok_mastercard"})
    assert by_token["card"]["brand"] == "mastercard"
    error = await sandbox.refused(400, "POST", "/v1/payment_methods", {"type": "card", "card[token]": "tok_none"})
    assert error["code"] == "resource_missing"

    intent = await sandbox.unconfirmed(
        **{
            "confirm": True,
            "payment_method_data[type]": "card",
            "payment_method_data[card][token]": "tok_visa",
            "payment_method_data[billing_details][name]": "Jenny Rosen",
            "expand[]": "latest_charge",
        }
    )
    assert intent["latest_charge"]["billing_details"]["name"] == "Jenny Rosen"


@pytest.mark.parametrize("name", ["pm_card_nobody", "pm_none", "pm_card_sandbox_processing"])
async def test_unknown_names_are_no_payment_methods(sandbox: Driver, name: str) -> None:
    assert (await sandbox.refused(404, "GET", f"/v1/payment_methods/{name}"))["code"] == "resource_missing"


async def test_attaching_and_detaching(sandbox: Driver) -> None:
    customer = await sandbox.post("/v1/customers", {"email": "jenny@example.test"})
    attached = await sandbox.post("/v1/payment_methods/pm_card_visa/attach", {"customer": customer["id"]})
    path = f"/v1/payment_methods/{attached['id']}"
    assert attached["customer"] == customer["id"]
    for listed in (
        await sandbox.get("/v1/payment_methods", {"customer": customer["id"], "type": "card"}),
        await sandbox.get(f"/v1/customers/{customer['id']}/payment_methods"),
    ):
        assert [each["id"] for each in listed["data"]] == [attached["id"]]

    other = await sandbox.post("/v1/customers")
    await sandbox.refused(400, "POST", f"{path}/attach", {"customer": other["id"]})
    pay = {"amount": 999, "currency": "usd", **CARD, "confirm": True, "payment_method": attached["id"]}
    await sandbox.refused(400, "POST", "/v1/payment_intents", pay)
    await sandbox.refused(400, "POST", "/v1/payment_intents", {**pay, "customer": other["id"]})
    for _ in range(2):
        assert (await sandbox.post("/v1/payment_intents", {**pay, "customer": customer["id"]}))["status"] == "succeeded"

    assert (await sandbox.post(f"{path}/detach"))["customer"] is None
    await sandbox.refused(400, "POST", f"{path}/attach", {"customer": customer["id"]})
    await sandbox.refused(400, "POST", f"{path}/detach")


async def test_without_a_customer_a_payment_method_pays_once(sandbox: Driver) -> None:
    made = await sandbox.get("/v1/payment_methods/pm_card_visa")
    await sandbox.pay(made["id"])
    asked = {"amount": 999, "currency": "usd", "payment_method_types[]": "card", "confirm": True}
    error = await sandbox.refused(400, "POST", "/v1/payment_intents", {**asked, "payment_method": made["id"]})
    assert "previously used" in error["message"]


async def test_a_payment_may_set_the_payment_method_up(sandbox: Driver) -> None:
    customer = await sandbox.post("/v1/customers")
    first = await sandbox.pay(
        "pm_card_authenticationRequiredOnSetup", customer=customer["id"], setup_future_usage="off_session"
    )
    assert first["status"] == "requires_action"
    await sandbox.authenticate(first, "complete")
    later = await sandbox.pay(first["payment_method"], customer=customer["id"], off_session=True)
    assert later["status"] == "succeeded"


async def test_a_deleted_customer_leaves_a_stub(sandbox: Driver) -> None:
    customer = await sandbox.post("/v1/customers", {"name": "Jenny", "payment_method": "pm_card_visa"})
    path = f"/v1/customers/{customer['id']}"
    assert (await sandbox.post(path, {"name": "Jenny Rosen"}))["name"] == "Jenny Rosen"
    await sandbox.delete(path)

    assert await sandbox.get(path) == {"id": customer["id"], "object": "customer", "deleted": True}
    assert (await sandbox.get("/v1/customers"))["data"] == []
    await sandbox.refused(404, "POST", path, {"name": "Nobody"})
    assert (await sandbox.event_types())[-2:] == ["payment_method.detached", "customer.deleted"]
