"""Errors as GraphQL shows them: refusals as data in payloads, everything else top-level with a code."""

from collections.abc import Sequence

import strawberry
import structlog
from graphql import GraphQLError

from api.graphql.money import MoneyType, money_type
from domain.errors import (
    BadInput,
    CardDeclined,
    ErrorCode,
    FlorinError,
    InternalError,
    RateLimited,
    RefundExceedsRemaining,
    Refusal,
    Throttled,
)

log = structlog.get_logger(__name__)


@strawberry.interface(description="Why a mutation was refused, for a program and for people.")
class UserError:
    """A refusal on the wire."""

    code: ErrorCode = strawberry.field(description="The reason, in a word that a program can act on.")
    message: str = strawberry.field(description="The reason, in a sentence for people.")
    path: list[str] | None = strawberry.field(description="The argument that was refused, from the outside in.")
    retryable: bool = strawberry.field(description="Whether the same request, with the same key, may succeed later.")


@strawberry.type(description="A refusal that needs no more words.")
class GeneralError(UserError):
    """Any refusal without details of its own."""


@strawberry.type(description="The card was declined.")
class CardDeclinedError(UserError):
    """A decline with the issuer's reason."""

    decline_code: str | None = strawberry.field(
        description="The card issuer's reason. Do not show it to the payer as it is."
    )


@strawberry.type(description="The refund is more than what is left.")
class RefundExceedsRemainingError(UserError):
    """A refund that is too large, with what would not be."""

    max_refundable: MoneyType = strawberry.field(description="The most that can be refunded now.")


ERROR_TYPES = (GeneralError, CardDeclinedError, RefundExceedsRemainingError)


def user_errors(refusals: Sequence[Refusal]) -> list[UserError]:
    return [_user_error(refusal) for refusal in refusals]


def _user_error(refusal: Refusal) -> UserError:
    path = None if refusal.path is None else list(refusal.path)
    code, message, retryable = refusal.code, refusal.message, refusal.retryable
    if isinstance(refusal, CardDeclined):
        return CardDeclinedError(
            code=code, message=message, path=path, retryable=retryable, decline_code=refusal.decline_code
        )
    if isinstance(refusal, RefundExceedsRemaining):
        return RefundExceedsRemainingError(
            code=code,
            message=message,
            path=path,
            retryable=retryable,
            max_refundable=money_type(refusal.max_refundable),
        )
    return GeneralError(code=code, message=message, path=path, retryable=retryable)


def format_error(error: GraphQLError, request_id: str, sees_schema: bool) -> dict[str, object]:
    """An error as the client sees it; what would name types and arguments only for somebody who may see the schema.

    The domain's errors and those of the request itself (syntax, validation, variables) tell what is wrong. Anything else is
    ours to know: it is logged once with its traceback, and the client gets the request id to tell us.
    """
    cause = error.original_error
    if cause is None or (isinstance(cause, GraphQLError) and cause.original_error is None):
        shown: FlorinError = BadInput(
            error.message if sees_schema else "A value does not have the type that it should."
        )
    elif isinstance(cause, FlorinError):
        shown = cause
    else:
        log.error("graphql.field_failed", path=error.path, exc_info=cause)
        shown = InternalError()
    formatted: dict[str, object] = {"message": shown.message}
    if error.locations:
        formatted["locations"] = [location.formatted for location in error.locations]
    if error.path is not None:
        formatted["path"] = error.path
    formatted["extensions"] = error_extensions(shown, request_id)
    return formatted


def error_extensions(error: FlorinError, request_id: str) -> dict[str, object]:
    """What stands beside a top-level error's message, for programs."""
    extensions: dict[str, object] = {"code": error.code, "retryable": error.retryable, "requestId": request_id}
    if isinstance(error, RateLimited | Throttled):
        extensions["retryAfterMs"] = error.retry_after_ms
    return extensions
