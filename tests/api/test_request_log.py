"""One line for each request, which tells enough to find it again and nothing that must not be written down."""

import re

import pytest

from tests.api.application import PAY, STRIPE_KEY, WEBHOOK_SECRET, Florin, Person, Webhooks, payment
from tests.support.captured_logs import captured_logs

CARD = "4000056655665556"


async def test_a_request_is_one_line(florin: Florin, ada: Person) -> None:
    with captured_logs() as logs:
        response = await ada.send("query Hello { me { name } }", X_Request_ID="abc-123._x")
    assert response.headers["x-request-id"] == "abc-123._x"
    (line,) = logs.named("request")
    assert line.pop("duration_ms") >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "api.request",
        "method": "POST",
        "path": "/graphql",
        "status": 200,
        "operation": "Hello",
        "actor": str(ada.user.id),
        "request_id": "abc-123._x",
    }


@pytest.mark.parametrize(
    "given", ["", "a" * 65, "a b", "a\tb", "ä", "../../etc", "a;b", "<script>", "{}", CARD[:4] + " " + CARD[4:]]
)
async def test_an_insane_request_id_is_replaced(florin: Florin, given: str) -> None:
    with captured_logs() as logs:
        response = await florin.http.get("/healthz", headers=[(b"X-Request-ID", given.encode())])
    fresh = response.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", fresh)
    assert [line["request_id"] for line in logs.named("request")] == [fresh]


async def test_what_is_not_known_is_null(florin: Florin) -> None:
    with captured_logs() as logs:
        await florin.http.get("/nowhere")
        await florin.anonymous.send("{ __typename }")
        await florin.anonymous.send("{ nonsense }")
    assert [(line["status"], line["operation"], line["actor"]) for line in logs.named("request")] == [
        (404, None, None),
        (200, None, None),
        (200, None, None),
    ]


async def test_every_line_of_a_request_carries_its_id(ada: Person) -> None:
    with captured_logs() as logs:
        await ada.send(PAY, {"input": payment()}, X_Request_ID="the-payment")
        await ada.send(PAY, {"input": payment()}, X_Request_ID="the-replay")
    ids = [line.get("request_id") for line in logs.lines if line["logger"].startswith("api.")]
    assert ids == ["the-payment", "the-replay"]


async def test_nothing_secret_is_ever_logged(florin: Florin, webhooks: Webhooks, ada: Person) -> None:
    canary = "canary-5f1c"
    with captured_logs() as logs:
        asked = await ada.paid(
            canary,
            paymentMethodId="pm_card_authenticationRequired",
            description=f"description {canary}",
            metadata={canary: canary},
            returnUrl=f"https://shop.example/{canary}",
        )
        sdk = await ada.paid(f"{canary}-sdk", paymentMethodId="pm_card_authenticationRequired")
        taken = await ada.paid(f"{canary}-2")
        await ada.refund(taken["id"], f"{canary}-3")
        await ada.pay(CARD)
        await ada.send(f'{{ transaction(id: "{canary}") {{ id }} nonsense(card: "{CARD}") }}')
        await ada.send("query ($id: ID!) { transaction(id: $id) { id } }", {"id": {"a": canary}})
        await ada.post(b'{"query": "' + canary.encode())
        await florin.http.get("/graphql", params={"query": f"# {canary}", "variables": canary})
        await florin.anonymous.send("{ me { id } }", Authorization=f"Bearer {canary}")
        await florin.sandbox.authenticate(
            {"next_action": {"redirect_to_url": {"url": asked["nextAction"]["redirectUrl"]}}}, "complete"
        )
        await webhooks.apply()
    assert len(logs.named("request")) > 10
    assert sdk["nextAction"]["clientSecret"]
    token = str(ada.token)
    for secret in (
        canary,
        CARD,
        token,
        token.split(".")[2],
        sdk["nextAction"]["clientSecret"],
        "_secret_",
        STRIPE_KEY,
        WEBHOOK_SECRET,
        ada.user.email,
    ):
        assert secret not in logs.text, secret
    # The card's last four digits, as a word of their own: ids are random, and hold every four digits now and then.
    assert not re.search(r"(?<![0-9A-Za-z])4242(?![0-9A-Za-z])", logs.text)
