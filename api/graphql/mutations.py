"""What mutations have in common: words about keys and refusals, and how an act that answers is called."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.graphql.context import Context
from api.graphql.problems import UserError, user_errors
from domain.access import Actor
from domain.errors import Refusal
from domain.payments.answer import Answer

T = TypeVar("T")

KEY = "A name of your own for this act, 1 to 255 characters: the same key with the same input does it once."
ERRORS = "Why it was refused; empty when all is well."
REPLAYED = "Whether an earlier request with the same idempotency key had done it."


async def answer_of(context: Context, act: Callable[[Actor], Awaitable[Answer]]) -> Answer:
    """Call an act; a refusal becomes an answer that holds nothing else. What the loaders knew is out of date then."""
    actor = context.require_actor()
    try:
        return await act(actor)
    except Refusal as refusal:
        return Answer(refusals=(refusal,))
    finally:
        context.forget_loaded()


async def outcome_of(context: Context, act: Awaitable[T]) -> tuple[T | None, list[UserError]]:
    """What an act comes to, or why it is refused. What the loaders knew is out of date then."""
    try:
        return await act, []
    except Refusal as refusal:
        return None, user_errors([refusal])
    finally:
        context.forget_loaded()
