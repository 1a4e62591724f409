"""One call to Stripe: tried, repeated where that is safe, read and logged."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import stamina
import stripe
import structlog

from gateways.stripe.errors import CallFailed, is_replay
from gateways.stripe.shapes import Json

TRIES_MAX = 4
"""One try and three repetitions, all within the deadline of the call that they serve."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that Stripe answered with; `replayed` where it is the answer kept under the key, as old as that is."""

    data: Json
    status: int
    request_id: str | None
    replayed: bool


CallObserver: TypeAlias = Callable[[str, str, float], None]
"""Is told of each call: its endpoint, its outcome (answered, refused, unknown, interrupted) and how many seconds it took."""


class Calls:
    """Sends calls to Stripe, and repeats those whose outcome is unknown under the same idempotency key."""

    def __init__(self, observe: CallObserver | None = None) -> None:
        self._observe = observe
        # No time limit of its own: the caller's deadline covers the tries and the pauses between them.
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=TRIES_MAX, timeout=None, wait_initial=0.2, wait_max=2.0, wait_jitter=0.3
        )

    async def send(self, endpoint: str, request: Callable[[], Awaitable[object]]) -> Answer:
        """The answer to a request. `endpoint` names it in the log. Raises CallFailed."""
        tries = 0

        async def send_once() -> Answer:
            nonlocal tries
            tries += 1
            return await _send_once(request)

        started = time.monotonic()
        result: Answer | CallFailed | None = None
        try:
            result = await self._retrying(_is_repeatable, send_once)
        except CallFailed as failed:
            result = failed
            raise
        finally:
            seconds = time.monotonic() - started
            _log_call(endpoint, result, tries=tries, duration_seconds=seconds)
            if self._observe is not None:
                self._observe(endpoint, _outcome(result), seconds)
        return result


def _is_repeatable(error: Exception) -> bool:
    return isinstance(error, CallFailed) and error.repeatable


async def _send_once(request: Callable[[], Awaitable[object]]) -> Answer:
    try:
        answered = await request()
    except stripe.StripeError as error:
        # The SDK's error quotes the answer's body, so it must not be printed as this one's cause.
        raise CallFailed.from_sdk(error) from None
    response = answered.last_response if isinstance(answered, stripe.StripeObject) else answered
    if not isinstance(response, stripe.StripeResponse) or not isinstance(response.data, dict):
        raise CallFailed("the answer is no object", status=200)
    return Answer(
        data=response.data,
        status=response.code,
        request_id=response.request_id,
        replayed=is_replay(response.headers),
    )


def _outcome(result: Answer | CallFailed | None) -> str:
    match result:
        case None:
            return "interrupted"
        case Answer():
            return "answered"
        case CallFailed():
            return "refused" if result.definite else "unknown"


def _log_call(endpoint: str, result: Answer | CallFailed | None, *, tries: int, duration_seconds: float) -> None:
    """One line for each call, with nothing in it that came out of a body but Stripe's error code."""
    fields = {
        "endpoint": endpoint,
        "outcome": _outcome(result),
        "tries": tries,
        "duration_ms": round(duration_seconds * 1000, 1),
    }
    match result:
        case None:
            _log.warning("processor_call", status=None, **fields)
        case Answer(status=status, request_id=request_id, replayed=replayed):
            _log.info("processor_call", status=status, request_id=request_id, replayed=replayed, **fields)
        case CallFailed(status=status, request_id=request_id, code=code):
            report = _log.error if result.misconfigured else _log.info if result.definite else _log.warning
            report("processor_call", status=status, request_id=request_id, code=code, **fields)
