"""Frontends under load: each keeps its key and asks until it is answered, whatever happens to the servers meanwhile."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx2
import orjson

Json: TypeAlias = dict[str, Any]  # Any: an answer has the shape of its query

PAY = """mutation($input: CreatePaymentInput!) { createPayment(input: $input) {
  replayed transaction { id status } errors { code } } }"""
CAPTURE = """mutation($input: CaptureInput!) { capture(input: $input) {
  replayed transaction { id status } errors { code } } }"""
VOID = """mutation($input: VoidInput!) { void(input: $input) { replayed transaction { id status } errors { code } } }"""
REFUND = """mutation($input: RefundInput!) { refund(input: $input) {
  replayed refund { id status } transaction { id status } errors { code } } }"""

_NOT_YET = frozenset({"PROCESSOR_UNAVAILABLE", "IDEMPOTENCY_IN_PROGRESS"})
_PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.0)
_AMOUNT = 1000


@dataclass(slots=True)
class Wish:
    """Something that somebody wants, and what they were told. Times are in seconds of the monotonic clock."""

    who: str
    mutation: str
    variables: Mapping[str, Any]  # Any: as the mutation wants it
    tries: int = 0
    troubled_at: float | None = None
    answered_at: float | None = None
    payload: Json = field(default_factory=dict)

    @property
    def act(self) -> str:
        """The mutation's name."""
        return {PAY: "createPayment", CAPTURE: "capture", VOID: "void", REFUND: "refund"}[self.mutation]

    @property
    def seconds_to_resolve(self) -> float | None:
        """How long it took from the first answer that was none until a definite one; None where all went well."""
        if self.troubled_at is None or self.answered_at is None:
            return None
        return self.answered_at - self.troubled_at


class Shop:
    """Many who pay and refund at the same time, until `closing` is set; then each finishes what it has begun."""

    def __init__(self, url: str, tokens: Mapping[str, str], *, seed: int) -> None:
        self.wishes: list[Wish] = []
        self.closing = asyncio.Event()
        self._url = url
        self._tokens = tokens
        self._random = random.Random(seed)  # noqa: S311  it makes a load, not a secret
        self._run = f"{time.time_ns():x}"
        self._http = httpx2.AsyncClient(timeout=15, limits=httpx2.Limits(max_connections=64), trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def serve(self, shoppers: int) -> None:
        """Let so many shop at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(shoppers):
                group.create_task(self._shop())

    async def ask_again(self, wish: Wish) -> Json:
        """The payload that the same request gets now."""
        again = Wish(wish.who, wish.mutation, wish.variables)
        await self._pursue(again)
        return again.payload

    async def _shop(self) -> None:
        while not self.closing.is_set():
            chance = self._random.random()
            if chance < 0.1:
                await self._pay("pm_card_visa_chargeDeclined")
            elif chance < 0.3:
                await self._decide(await self._pay("pm_card_visa", captureMethod="MANUAL"))
            else:
                await self._regret(await self._pay("pm_card_visa"))

    async def _pay(self, method: str, **more: str) -> Json:
        return await self._want(
            "customer",
            PAY,
            money={"currency": "USD", "amountMinor": str(_AMOUNT)},
            paymentMethodId=method,
            **more,
        )

    async def _decide(self, payload: Json) -> None:
        """Staff take held money, some of it or none."""
        if (transaction := payload["transaction"]) is None or transaction["status"] != "AUTHORIZED":
            return
        if self._random.random() < 0.3:
            await self._want("support", VOID, transactionId=transaction["id"])
            return
        amount = self._random.choice([400, _AMOUNT])
        await self._want(
            "support",
            CAPTURE,
            transactionId=transaction["id"],
            money={"currency": "USD", "amountMinor": str(amount)},
        )

    async def _regret(self, payload: Json) -> None:
        """Up to three refunds, two of them at the same time; not all of them may fit."""
        if (transaction := payload["transaction"]) is None or transaction["status"] != "COMPLETED":
            return
        amounts = [self._random.choice([100, 400, 700]) for _ in range(self._random.choice([0, 0, 1, 2, 3]))]
        async with asyncio.TaskGroup() as group:
            for amount in amounts:
                money = {"currency": "USD", "amountMinor": str(amount)}
                group.create_task(self._want("customer", REFUND, transactionId=transaction["id"], money=money))

    async def _want(self, who: str, mutation: str, **wanted: object) -> Json:
        key = f"soak-{self._run}-{len(self.wishes)}"
        wish = Wish(who, mutation, {"input": {"idempotencyKey": key, **wanted}})
        self.wishes.append(wish)
        await self._pursue(wish)
        return wish.payload

    async def _pursue(self, wish: Wish) -> None:
        while True:
            payload = await self._ask(wish)
            if payload is not None:
                wish.payload, wish.answered_at = payload, time.monotonic()
                return
            if wish.troubled_at is None:
                wish.troubled_at = time.monotonic()
            await asyncio.sleep(_PAUSES_SECONDS[min(wish.tries, len(_PAUSES_SECONDS)) - 1])

    async def _ask(self, wish: Wish) -> Json | None:
        """The payload, where it is definite; None for everything after which a frontend asks again."""
        wish.tries += 1
        try:
            response = await self._http.post(
                self._url,
                content=orjson.dumps({"query": wish.mutation, "variables": wish.variables}),
                headers={"Authorization": f"Bearer {self._tokens[wish.who]}", "Content-Type": "application/json"},
            )
            answer = response.json()
        except (httpx2.TransportError, ValueError):
            return None
        if answer.get("errors"):
            codes = {error["extensions"]["code"] for error in answer["errors"]}
            if codes <= {"UNAVAILABLE", "INTERNAL", "RATE_LIMITED"}:
                return None
            raise AssertionError(f"{wish.act} was refused as a whole: {answer['errors']}")
        payload: Json = answer["data"][wish.act]
        return None if any(error["code"] in _NOT_YET for error in payload["errors"]) else payload
