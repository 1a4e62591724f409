"""The way to Stripe: its SDK's asynchronous client over httpx2, with limits that the SDK's own transport does not take."""

import asyncio
import importlib.metadata
import logging
from collections.abc import Awaitable, Mapping

import httpx2
import stripe
import structlog

API_VERSION = "2026-08-26.dahlia"
"""The version of Stripe's API that this package speaks; pinned, so that an SDK update cannot change it unseen.

The SDK's own newer one, endive, no longer lets a PaymentIntent be limited to cards by `payment_method_types`; what it has
instead takes in whatever the account's dashboard enables, redirects included.
"""

ANSWER_BYTES_MAX = 2 * 1024 * 1024
"""The largest answer that is read, unless told otherwise: a page of 100 refunds is about a tenth of it."""

# A try that hangs is given up while there is time for another. Confirming waits for the card's issuer, so reading gets most.
TIMEOUT = httpx2.Timeout(connect=3.0, read=10.0, write=5.0, pool=3.0)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Transport(stripe.HTTPClient):
    """The SDK's HTTP client over httpx2. Every failure to get an answer is an APIConnectionError."""

    name = "httpx2"

    def __init__(
        self,
        *,
        limits: httpx2.Limits,
        transport: httpx2.AsyncBaseTransport | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        super().__init__()
        self._answer_bytes_max = answer_bytes_max
        self._client = httpx2.AsyncClient(limits=limits, timeout=TIMEOUT, transport=transport, follow_redirects=False)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request and read its whole answer.

        Raises stripe.APIConnectionError where no answer came, or one that is cut off or too large.
        """
        # Without compression the bytes counted while reading are the bytes held in memory.
        plain = {**headers, "Accept-Encoding": "identity"}
        try:
            async with self._client.stream(method, url, headers=plain, content=post_data) as response:
                body = await _read(response, self._answer_bytes_max)
                return body, response.status_code, _without_notice(response.headers)
        except httpx2.HTTPError as error:
            # The class alone: a transport error's text may quote what was sent.
            raise _no_answer(type(error).__name__) from None

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._client.aclose()


def _no_answer(reason: str) -> stripe.APIConnectionError:
    # The SDK leaves this constructor untyped.
    return stripe.APIConnectionError(reason, should_retry=True)  # type: ignore[no-untyped-call]


async def _read(response: httpx2.Response, bytes_max: int) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _no_answer("CompressedAnswer")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > bytes_max:
            raise _no_answer("AnswerTooLarge")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        # The SDK decodes the body for its log before it interprets it, and lets this error out.
        raise _no_answer("AnswerNotUtf8") from None
    return bytes(body)


def _without_notice(headers: httpx2.Headers) -> httpx2.Headers:
    """The headers without Stripe-Notice.

    The SDK makes a Python warning of a notice. Where warnings are errors, that would hide the answer to a payment.
    """
    if "stripe-notice" in headers:
        _log.warning("processor_notice", notice=headers["stripe-notice"][:500])
        headers = headers.copy()
        del headers["stripe-notice"]
    return headers


def open_client(*, secret_key: str, api_base: str, transport: Transport) -> stripe.StripeClient:
    """Stripe's client for one account. It never retries by itself: retries are counted and bounded in one place, ours."""
    # These are settings of the whole process; the SDK offers no narrower ones. Telemetry would write an id into the
    # user's home folder, and at DEBUG the SDK logs whole bodies, client secrets among them.
    stripe.enable_telemetry = False
    stripe.set_app_info("florin", version=importlib.metadata.version("florin"))
    logging.getLogger("stripe").setLevel(logging.WARNING)
    return stripe.StripeClient(
        secret_key,
        stripe_version=API_VERSION,
        # Whatever the SDK may want of another Stripe host goes to the configured one, or a sandbox would leak a key.
        base_addresses={"api": api_base, "files": api_base, "connect": api_base, "meter_events": api_base},
        max_network_retries=0,
        http_client=transport,
    )
