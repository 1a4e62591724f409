"""The port's three answers: whatever goes wrong with a call, the caller hears one of two words for it."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from domain.payments.gateway import OutcomeUnknown, RequestRejected, Unreadable
from gateways.stripe.errors import CallFailed
from gateways.stripe.shapes import OddShape

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@asynccontextmanager
async def one_outcome(act: str, *, deadline_seconds: float | None) -> AsyncIterator[None]:
    """Let nothing out but RequestRejected and OutcomeUnknown, and the task's own cancellation. `act` names it in the log."""
    try:
        async with asyncio.timeout(deadline_seconds):
            yield
    except (OutcomeUnknown, RequestRejected):
        raise
    except CallFailed as failed:
        failed.raise_outcome()
    except TimeoutError:
        raise OutcomeUnknown(f"{act}: no answer within {deadline_seconds} s") from None
    except OddShape as odd:
        _log.error("processor_answer_odd", act=act, reason=str(odd))
        raise Unreadable(f"{act}: {odd}") from odd
    except Exception as error:  # noqa: BLE001  # Whatever the mistake is, money may have moved: it is no failure.
        # The trace is of names and lines only: the error's text, or local variables, may quote what was sent.
        trace = "".join(traceback.format_tb(error.__traceback__))
        _log.error("processor_call_broken", act=act, error=type(error).__name__, trace=trace)
        raise OutcomeUnknown(f"{act}: {type(error).__name__}") from None
