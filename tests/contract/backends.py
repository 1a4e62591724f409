"""The processors that the contract is held against, and what each of them cannot do."""

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import httpx2
import orjson
import pytest
import uvicorn

from app.time_and_ids import SystemClock
from domain.payments.gateway import ChargeReport, PaymentGateway
from domain.reconciliation.records import ProcessorRecords
from gateways.stripe.gateway import StripeConfig, StripeGateway
from gateways.stripe.records import StripeRecords
from sandbox.server import SandboxConfig, create_app
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_records import FakeRecords


class Capability(StrEnum):
    """Something that a real processor does and a stand-in may not."""

    AMOUNT_LIMITS = "refuses amounts that are too small or too large"
    AUTHENTICATION = "lets a test play the payer"
    DECLINE_CODES = "says why the issuer declined, for each of the test cards"
    DESCRIPTION = "takes a description"
    ERROR_CODES = "says which kind of error it is"
    DISPUTES = "lets a test play the payer's bank"
    FEES = "charges fees, and tells them at once"
    IDEMPOTENCY = "does a call with the same key once"
    LISTS = "lists what was made in a span of time"
    NOT_A_CARD = "has a payment method that is no card"
    PARTIAL_CAPTURE = "tells what was captured of a larger authorization"
    REFUND_LIMITS = "refuses to refund more than was captured"
    REFUND_REASON = "takes the reason of a refund"
    RETURN_URL = "sends the payer to a page and back"
    STATE_GUARD = "says what a charge is when it is not in the state for a call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """The payment methods that stand for an outcome."""

    good: str = "pm_card_visa"
    declined: str = "pm_card_visa_chargeDeclined"
    insufficient_funds: str = "pm_card_visa_chargeDeclinedInsufficientFunds"
    processing_error: str = "pm_card_chargeDeclinedProcessingError"
    authentication: str = "pm_card_authenticationRequired"
    unknown: str = "pm_0123456789abcdefghijklmn"
    no_card: str = "pm_usBankAccount_success"
    disputed: str = "pm_card_createDispute"
    inquired: str = "pm_card_createDisputeInquiry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A processor under test. `lacks` gives the reason for each thing that it cannot do."""

    gateway: PaymentGateway
    records: ProcessorRecords
    lacks: Mapping[Capability, str]
    methods: Methods
    authenticate: Callable[[ChargeReport, bool], Awaitable[None]] | None = None
    bank: "Bank | None" = None

    def require(self, *capabilities: Capability) -> None:
        """Skip the test where the processor lacks what it is about."""
        for capability in capabilities:
            if capability in self.lacks:
                pytest.skip(f"{capability}: {self.lacks[capability]}")

    async def let_the_payer(self, report: ChargeReport, *, succeed: bool) -> None:
        self.require(Capability.AUTHENTICATION)
        assert self.authenticate is not None
        await self.authenticate(report, succeed)


class Bank(Protocol):
    """The payer's bank, which disputes what was paid with the methods made for that."""

    async def dispute(self, charge: ChargeReport) -> str:
        """The reference of the dispute over a charge that was paid with `Methods.disputed` or `Methods.inquired`."""
        ...

    async def decide(self, reference: str, *, won: bool) -> None:
        """Decide a dispute for the merchant, or against."""
        ...


_UNTYPED_ERRORS = "localstripe answers most errors without a code"
LACKS: Mapping[str, Mapping[Capability, str]] = {
    "fake": {},
    "sandbox": {
        Capability.NOT_A_CARD: "the sandbox knows cards only",
    },
    "localstripe": {
        Capability.AMOUNT_LIMITS: "localstripe takes every amount",
        Capability.DISPUTES: "localstripe has none",
        Capability.DECLINE_CODES: "localstripe declines one card, and gives no decline_code",
        Capability.DESCRIPTION: "localstripe answers 400 to the parameter",
        Capability.ERROR_CODES: _UNTYPED_ERRORS,
        Capability.FEES: "localstripe has no fees",
        Capability.IDEMPOTENCY: "localstripe ignores the header",
        Capability.LISTS: "localstripe takes no times, and numbers its pages in a way of its own",
        Capability.NOT_A_CARD: "localstripe has no name for one",
        Capability.PARTIAL_CAPTURE: "localstripe books the rest as a refund",
        Capability.REFUND_LIMITS: "localstripe refunds without limit",
        Capability.REFUND_REASON: "localstripe answers 400 to the parameter",
        Capability.RETURN_URL: "localstripe answers 400 to the parameter",
        Capability.STATE_GUARD: _UNTYPED_ERRORS,
    },
    "stripe": {
        Capability.AUTHENTICATION: "the payer's page of Stripe's test mode needs a browser",
        Capability.DISPUTES: "Stripe opens one some minutes after the charge",
        Capability.FEES: "Stripe tells a fee some seconds after the charge",
    },
}


@asynccontextmanager
async def _fake() -> AsyncIterator[Backend]:
    gateway = FakeGateway(now=SystemClock().now)

    async def authenticate(report: ChargeReport, succeed: bool) -> None:
        gateway.authenticate(report.reference, success=succeed)

    methods = Methods(no_card="pm_fake_bank_account")
    records = FakeRecords(gateway)
    yield Backend(
        gateway=gateway,
        records=records,
        lacks=LACKS["fake"],
        methods=methods,
        authenticate=authenticate,
        bank=_FakeBank(gateway),
    )


@dataclass(frozen=True, slots=True)
class _FakeBank:
    gateway: FakeGateway

    async def dispute(self, charge: ChargeReport) -> str:
        return self.gateway.dispute(charge.reference).reference

    async def decide(self, reference: str, *, won: bool) -> None:
        self.gateway.disputes.close(reference, won=won)


@dataclass(frozen=True, slots=True)
class _SandboxBank:
    client: httpx2.AsyncClient

    async def dispute(self, charge: ChargeReport) -> str:
        await self._pass_time()
        found = await self.client.get("/v1/disputes", params={"payment_intent": charge.reference})
        [dispute] = found.json()["data"]
        return str(dispute["id"])

    async def decide(self, reference: str, *, won: bool) -> None:
        text = "winning_evidence" if won else "losing_evidence"
        answer = await self.client.post(f"/v1/disputes/{reference}", data={"evidence[uncategorized_text]": text})
        assert answer.status_code == 200, answer.text
        await self._pass_time()

    async def _pass_time(self) -> None:
        assert (await self.client.post("/_sandbox/clock", data={"advance_seconds": "60"})).status_code == 200


class _Server(uvicorn.Server):
    """A server inside the test process, which keeps its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _sandbox() -> AsyncIterator[Backend]:
    with _listening() as listener:
        port = listener.getsockname()[1]
        config = SandboxConfig(port=port)
        server = _Server(uvicorn.Config(create_app(config), log_level="warning", timeout_graceful_shutdown=1))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        base = f"http://127.0.0.1:{port}"
        stripe_config = StripeConfig(secret_key=config.api_keys[0], api_base=base)
        gateway, records = StripeGateway(stripe_config), StripeRecords(stripe_config)
        headers = {"Authorization": f"Bearer {config.api_keys[0]}"}
        async with httpx2.AsyncClient(base_url=base, headers=headers) as browser:

            async def authenticate(report: ChargeReport, succeed: bool) -> None:
                page = await browser.get(f"/3ds/{report.reference}")
                token = re.search(r'name="token" value="([^"]+)"', page.text)
                assert token is not None, page.text
                answer = {"token": token[1], "outcome": "complete" if succeed else "fail"}
                assert (await browser.post(f"/3ds/{report.reference}", data=answer)).status_code < 400

            yield Backend(
                gateway=gateway,
                records=records,
                lacks=LACKS["sandbox"],
                methods=Methods(),
                authenticate=authenticate,
                bank=_SandboxBank(browser),
            )
        await gateway.close()
        await records.close()
        server.should_exit = True
        await serving


# Run by a Python of its own: localstripe is under the GPL. It is given a socket on the loopback interface, because started
# as it is meant to be it binds every address, and it is kept from writing each change to one file in /tmp.
_LOCALSTRIPE = """
import socket, sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, sock=socket.socket(fileno=int(sys.argv[1])), print=None, access_log=None)
"""


class _WithAmountReceived(httpx2.AsyncHTTPTransport):
    """localstripe leaves `amount_received` out of its PaymentIntents. The gateway rightly does not guess it."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        body = orjson.loads(await response.aread())
        if response.status_code == 200 and body.get("object") == "payment_intent":
            body["amount_received"] = body["amount"] if body["status"] == "succeeded" else 0
        return httpx2.Response(response.status_code, json=body)


@asynccontextmanager
async def _localstripe() -> AsyncIterator[Backend]:
    with _listening() as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _LOCALSTRIPE, str(listener.fileno()), pass_fds=[listener.fileno()]
        )
    try:
        config = StripeConfig(secret_key="sk_test_localstripe", api_base=base)
        gateway, records = StripeGateway(config, transport=_WithAmountReceived()), StripeRecords(config)
        headers = {"Authorization": f"Bearer {config.secret_key}"}
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=30) as client:

            async def authenticate(report: ChargeReport, succeed: bool) -> None:
                assert report.next_action is not None
                answer = {"client_secret": report.next_action.client_secret, "success": str(succeed).lower()}
                path = f"/v1/payment_intents/{report.reference}/_authenticate"
                assert (await client.post(path, data=answer)).status_code == 200

            card = {"number": "4000002760003184", "exp_month": "12", "exp_year": "2040", "cvc": "123"}
            form = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
            created = await client.post("/v1/payment_methods", data=form)
            methods = Methods(declined="pm_card_chargeCustomerFail", authentication=created.json()["id"])
            yield Backend(
                gateway=gateway,
                records=records,
                lacks=LACKS["localstripe"],
                methods=methods,
                authenticate=authenticate,
            )
        await gateway.close()
        await records.close()
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _stripe() -> AsyncIterator[Backend]:
    key = os.environ.get("STRIPE_TEST_SECRET_KEY")
    if key is None:
        pytest.skip("STRIPE_TEST_SECRET_KEY is not set")
    if not key.startswith("sk_test_"):
        pytest.fail("STRIPE_TEST_SECRET_KEY must be a key of Stripe's test mode (sk_test_...)", pytrace=False)
    config = StripeConfig(secret_key=key, deadline_seconds=60.0)
    gateway, records = StripeGateway(config), StripeRecords(config)
    yield Backend(gateway=gateway, records=records, lacks=LACKS["stripe"], methods=Methods())
    await gateway.close()
    await records.close()


def _listening() -> socket.socket:
    """A listening socket: whoever connects waits in its queue until the server is up, so that nobody has to poll."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    return listener


OPENERS: Mapping[str, Callable[[], AbstractAsyncContextManager[Backend]]] = {
    "fake": _fake,
    "sandbox": _sandbox,
    "localstripe": _localstripe,
    "stripe": _stripe,
}
