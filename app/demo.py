"""Demo data, made through the API itself: payments of every status, in several currencies, by several people.

Every step has an idempotency key of its own, so that a run which was interrupted is simply run again.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

PAYMENTS = 200
AT_A_TIME = 6

_AMOUNTS = {
    "USD": (500, 25_000),
    "EUR": (500, 25_000),
    "GBP": (500, 20_000),
    "JPY": (500, 40_000),
    "KWD": (1_000, 90_000),
}
_DESCRIPTIONS = ("Two tickets", "Annual plan", "A night at the hotel", "Coffee beans", "A pair of boots", "Donation")
_CARDS = ("pm_card_visa", "pm_card_mastercard", "pm_card_amex")
_DECLINES = (
    "pm_card_visa_chargeDeclined",
    "pm_card_visa_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedExpiredCard",
)

_CREATE = """
mutation Create($input: CreatePaymentInput!) {
  createPayment(input: $input) { transaction { id status } errors { code message } }
}
"""
_REFUND = """
mutation Refund($input: RefundInput!) { refund(input: $input) { errors { code message } } }
"""
_VOID = """
mutation Void($input: VoidInput!) { void(input: $input) { errors { code message } } }
"""
_COUNT = "{ transactions(first: 1) { totalCount } }"


class DemoFailed(Exception):
    """The API did not do what the demo asked of it."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One payment of the demo and what becomes of it."""

    number: int
    payer: str
    currency: str
    minor_units: int
    card: str
    description: str
    capture_method: str = "AUTOMATIC"
    follow_up: str | None = None


def _plans() -> list[_Plan]:
    """The same payments on every run: the keys stand for the same inputs each time."""
    rng = random.Random(1252)  # noqa: S311  the year of the first gold florin; nothing secret hangs on it
    plans = []
    for number in range(PAYMENTS):
        currency = rng.choice(list(_AMOUNTS))
        least, most = _AMOUNTS[currency]
        card, capture_method, follow_up = rng.choice(_CARDS), "AUTOMATIC", None
        match number % 20:
            case 0 | 1:
                card = rng.choice(_DECLINES)
            case 2:
                card = "pm_card_authenticationRequired"
            case 3:
                capture_method = "MANUAL"
            case 4:
                capture_method, follow_up = "MANUAL", "void"
            case 5:
                card = "pm_sandbox_processing"
            case 6 | 7:
                follow_up = "refund a part"
            case 8:
                follow_up = "refund"
        plans.append(
            _Plan(
                number=number,
                payer=rng.choice(("customer", "customer", "customer2", "support")),
                currency=currency,
                minor_units=rng.randrange(least, most, 10),
                card=card,
                description=f"{rng.choice(_DESCRIPTIONS)}, order {1000 + number}",
                capture_method=capture_method,
                follow_up=follow_up,
            )
        )
    return plans


class _Api:
    """The API as a frontend sees it."""

    def __init__(self, client: httpx2.AsyncClient, url: str, tokens: Mapping[str, str]) -> None:
        self._client = client
        self._url = url
        self._tokens = tokens

    # Any: a GraphQL answer has the shape of its query.
    async def ask(self, who: str, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = await self._client.post(
            self._url,
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {self._tokens[who]}"},
        )
        answer: dict[str, Any] = response.json()
        if answer.get("errors"):
            raise DemoFailed(f"The API refused a demo step: {answer['errors']}")
        data: dict[str, Any] = answer["data"]
        return data


async def seed(url: str, tokens: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Make the demo data, unless it is there. `say` is told how far it is. Raises DemoFailed."""
    limits = httpx2.Limits(max_connections=AT_A_TIME)
    async with httpx2.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
        api = _Api(client, url, tokens)
        present = (await api.ask("admin", _COUNT))["transactions"]["totalCount"]
        if present >= PAYMENTS:
            return
        done = 0
        gate = asyncio.Semaphore(AT_A_TIME)

        async def play(plan: _Plan) -> None:
            nonlocal done
            async with gate:
                await _play(api, plan)
            done += 1
            if done % 20 == 0 or done == PAYMENTS:
                say(f"making demo data: {done} of {PAYMENTS} payments")

        try:
            async with asyncio.TaskGroup() as group:
                for plan in _plans():
                    group.create_task(play(plan))
        except ExceptionGroup as failures:
            # One reason is enough to read; the others are mostly the same.
            raise DemoFailed(f"The demo data could not be made: {failures.exceptions[0]}") from failures


async def _play(api: _Api, plan: _Plan) -> None:
    answer = await api.ask(plan.payer, _CREATE, {"input": _payment(plan)})
    transaction = answer["createPayment"]["transaction"]
    if transaction is None:
        raise DemoFailed(f"The API refused a demo payment: {answer['createPayment']['errors']}")
    wanted: dict[str, Any] = {"idempotencyKey": f"demo-{plan.number}", "transactionId": transaction["id"]}
    if plan.follow_up == "void":
        _check((await api.ask("support", _VOID, {"input": wanted}))["void"]["errors"])
    elif plan.follow_up == "refund":
        _check((await api.ask("support", _REFUND, {"input": wanted}))["refund"]["errors"])
    elif plan.follow_up == "refund a part":
        wanted["money"] = {"currency": plan.currency, "amountMinor": plan.minor_units // 30 * 10}
        wanted["reason"] = "REQUESTED_BY_CUSTOMER"
        _check((await api.ask(plan.payer, _REFUND, {"input": wanted}))["refund"]["errors"])


def _payment(plan: _Plan) -> dict[str, Any]:
    return {
        "idempotencyKey": f"demo-{plan.number}",
        "money": {"currency": plan.currency, "amountMinor": str(plan.minor_units)},
        "paymentMethodId": plan.card,
        "description": plan.description,
        "metadata": {"orderNumber": 1000 + plan.number, "channel": "demo"},
        "captureMethod": plan.capture_method,
    }


def _check(errors: Sequence[Mapping[str, Any]]) -> None:
    if errors:
        raise DemoFailed(f"The API refused a demo step: {errors}")
