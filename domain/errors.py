"""Every way in which Florin says no, in one catalogue.

A class carries its code and whether the same request may succeed later; its docstring is the default message and the
text of docs/errors.md. No HTTP status stands here: `api.problem` gives each code its status.
"""

from enum import StrEnum
from typing import ClassVar

from domain.money import Money


class ErrorCode(StrEnum):
    """Why a mutation was refused, in a word that a program can act on."""

    ALREADY_ENABLED = "ALREADY_ENABLED"
    ALREADY_REFUNDED = "ALREADY_REFUNDED"
    ALREADY_RESOLVED = "ALREADY_RESOLVED"
    CARD_DECLINED = "CARD_DECLINED"
    CARD_NUMBER_REFUSED = "CARD_NUMBER_REFUSED"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    INVALID_CODE = "INVALID_CODE"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    INVALID_CURRENCY = "INVALID_CURRENCY"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_EXPIRY = "INVALID_EXPIRY"
    INVALID_IDEMPOTENCY_KEY = "INVALID_IDEMPOTENCY_KEY"
    INVALID_METADATA = "INVALID_METADATA"
    INVALID_PAYMENT_METHOD = "INVALID_PAYMENT_METHOD"
    INVALID_REFRESH_TOKEN = "INVALID_REFRESH_TOKEN"  # noqa: S105  a code, and no secret
    INVALID_SCOPES = "INVALID_SCOPES"
    INVALID_TEXT = "INVALID_TEXT"
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105  a code, and no secret
    NOT_APPROVABLE = "NOT_APPROVABLE"
    NOT_CAPTURABLE = "NOT_CAPTURABLE"
    NOT_ENABLED = "NOT_ENABLED"
    NOT_FOUND = "NOT_FOUND"
    NOT_REAPPLICABLE = "NOT_REAPPLICABLE"
    NOT_REFUNDABLE = "NOT_REFUNDABLE"
    NOT_RESOLVABLE = "NOT_RESOLVABLE"
    NOT_VOIDABLE = "NOT_VOIDABLE"
    OWN_ACCOUNT = "OWN_ACCOUNT"
    PROCESSOR_REFUSED = "PROCESSOR_REFUSED"
    PROCESSOR_UNAVAILABLE = "PROCESSOR_UNAVAILABLE"
    REFUND_EXCEEDS_REMAINING = "REFUND_EXCEEDS_REMAINING"
    REFUND_FAILED = "REFUND_FAILED"
    REFUND_REJECTED = "REFUND_REJECTED"
    RESOLUTION_CONTRADICTED = "RESOLUTION_CONTRADICTED"
    SECOND_FACTOR_REQUIRED = "SECOND_FACTOR_REQUIRED"
    SECOND_PERSON_NEEDED = "SECOND_PERSON_NEEDED"
    WEAK_PASSWORD = "WEAK_PASSWORD"  # noqa: S105  a code, and no secret


class FlorinError(Exception):
    """Florin refuses to do what was asked."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.default_message()
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        return " ".join((cls.__doc__ or "").split())


class Refusal(FlorinError):
    """A refusal the client can act on: data in the payload's `errors`, never a failed request."""

    code: ClassVar[ErrorCode]

    def __init__(self, message: str | None = None, *, path: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.path = path


class AlreadyEnabled(Refusal):
    """The second factor is on already. Turn it off before you set up another one."""

    code = ErrorCode.ALREADY_ENABLED


class AlreadyRefunded(Refusal):
    """All that was captured has been refunded already."""

    code = ErrorCode.ALREADY_REFUNDED


class AlreadyResolved(Refusal):
    """The discrepancy is resolved already."""

    code = ErrorCode.ALREADY_RESOLVED


class CardDeclined(Refusal):
    """The card was declined. Ask the payer for another payment method."""

    code = ErrorCode.CARD_DECLINED

    def __init__(
        self, message: str | None = None, *, path: tuple[str, ...] | None = None, decline_code: str | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.decline_code = decline_code


class CardNumberRefused(Refusal):
    """The text looks like a card number. Send the processor's token (pm_...) instead; nothing was stored or logged."""

    code = ErrorCode.CARD_NUMBER_REFUSED


class IdempotencyInProgress(Refusal):
    """The first request with this idempotency key is still running. Ask again with the same key in a second."""

    code = ErrorCode.IDEMPOTENCY_IN_PROGRESS
    retryable = True


class IdempotencyKeyReused(Refusal):
    """This idempotency key was used with another input. Use a new key for a new payment or refund."""

    code = ErrorCode.IDEMPOTENCY_KEY_REUSED


class InvalidAmount(Refusal):
    """The amount cannot be taken in this currency."""

    code = ErrorCode.INVALID_AMOUNT


class InvalidCode(Refusal):
    """The code is wrong, too old, or was used before."""

    code = ErrorCode.INVALID_CODE


class InvalidCredentials(Refusal):
    """The address or the password is wrong, or whoever they belong to may not sign in."""

    code = ErrorCode.INVALID_CREDENTIALS


class InvalidCurrency(Refusal):
    """The currency is not the one of the transaction, or the processor does not take it."""

    code = ErrorCode.INVALID_CURRENCY


class InvalidEmail(Refusal):
    """This cannot be an email address."""

    code = ErrorCode.INVALID_EMAIL


class InvalidExpiry(Refusal):
    """The moment of expiry has to lie in the future."""

    code = ErrorCode.INVALID_EXPIRY


class InvalidIdempotencyKey(Refusal):
    """An idempotency key holds 1 to 255 characters."""

    code = ErrorCode.INVALID_IDEMPOTENCY_KEY


class InvalidMetadata(Refusal):
    """Metadata is a JSON object of at most 8 KiB, nested at most 5 levels deep."""

    code = ErrorCode.INVALID_METADATA


class InvalidPaymentMethod(Refusal):
    """The processor does not know this payment method, or cannot use it for this payment."""

    code = ErrorCode.INVALID_PAYMENT_METHOD


class InvalidRefreshToken(Refusal):
    """The refresh token does not hold: it was used before, or its session is over. Sign in again."""

    code = ErrorCode.INVALID_REFRESH_TOKEN


class InvalidScopes(Refusal):
    """An API key is for at least one capability, and for none that its owner lacks or that is for people alone."""

    code = ErrorCode.INVALID_SCOPES


class InvalidText(Refusal):
    """The text is too long, or holds a character that cannot be stored (NUL or a lone surrogate)."""

    code = ErrorCode.INVALID_TEXT


class InvalidToken(Refusal):
    """The link does not hold: it was used before, is too old, or was cut off. Ask for another one."""

    code = ErrorCode.INVALID_TOKEN


class NotApprovable(Refusal):
    """Only a refund that waits for approval can be approved or rejected."""

    code = ErrorCode.NOT_APPROVABLE


class NotCapturable(Refusal):
    """Only an AUTHORIZED transaction can be captured."""

    code = ErrorCode.NOT_CAPTURABLE


class NotEnabled(Refusal):
    """There is no second factor to confirm or to turn off."""

    code = ErrorCode.NOT_ENABLED


class NotFound(Refusal):
    """There is no such object, or it is not yours to see."""

    code = ErrorCode.NOT_FOUND


class NotReapplicable(Refusal):
    """Only a webhook event that was quarantined, ignored or parked can be applied again."""

    code = ErrorCode.NOT_REAPPLICABLE


class NotRefundable(Refusal):
    """The transaction holds no captured money that could be refunded."""

    code = ErrorCode.NOT_REFUNDABLE


class NotResolvable(Refusal):
    """The attempt needs no person, or not this decision."""

    code = ErrorCode.NOT_RESOLVABLE


class NotVoidable(Refusal):
    """Only a transaction whose money has not been captured can be voided."""

    code = ErrorCode.NOT_VOIDABLE


class OwnAccount(Refusal):
    """Nobody changes their own role or disables themselves: that is for another administrator, who remains one."""

    code = ErrorCode.OWN_ACCOUNT


class ProcessorRefused(Refusal):
    """The processor refused the request for good; no money moved."""

    code = ErrorCode.PROCESSOR_REFUSED


class ProcessorUnavailable(Refusal):
    """The processor has not told the outcome yet. Florin keeps asking; repeat with the same idempotency key, not a new one."""

    code = ErrorCode.PROCESSOR_UNAVAILABLE
    retryable = True


class RefundExceedsRemaining(Refusal):
    """The refund is more than what is left to refund."""

    code = ErrorCode.REFUND_EXCEEDS_REMAINING

    def __init__(
        self, message: str | None = None, *, path: tuple[str, ...] | None = None, max_refundable: Money
    ) -> None:
        super().__init__(message, path=path)
        self.max_refundable = max_refundable


class RefundFailed(Refusal):
    """The processor could not refund; the amount can be refunded again."""

    code = ErrorCode.REFUND_FAILED


class RefundRejected(Refusal):
    """The refund was not approved, or its money has gone back in another way; nothing was sent to the processor for it."""

    code = ErrorCode.REFUND_REJECTED


class ResolutionContradicted(Refusal):
    """The processor says otherwise. Look up again (LOOK_UP_AGAIN), and what it says is taken into the books."""

    code = ErrorCode.RESOLUTION_CONTRADICTED


class SecondFactorRequired(Refusal):
    """The password is right. Sign in again with it and with the code of the second factor."""

    code = ErrorCode.SECOND_FACTOR_REQUIRED


class SecondPersonNeeded(Refusal):
    """Somebody else has to decide: you asked for this refund, or it is your own payment."""

    code = ErrorCode.SECOND_PERSON_NEEDED


class WeakPassword(Refusal):
    """The password is too short, too long, or one that is guessed first."""

    code = ErrorCode.WEAK_PASSWORD


class RequestError(FlorinError):
    """An error of the request as a whole: top-level in GraphQL, problem+json in REST."""


class BadInput(RequestError):
    """The request is not one that this API understands."""

    code = "BAD_INPUT"


class CostExceeded(RequestError):
    """The operation costs more than this API lets one cost, or more than you have left for now."""

    code = "COST_EXCEEDED"


class Forbidden(RequestError):
    """You are not allowed to do this."""

    code = "FORBIDDEN"


class InternalError(RequestError):
    """Something went wrong on our side. Tell us the request id."""

    code = "INTERNAL"
    retryable = True


class ObjectNotFound(RequestError):
    """There is nothing at this address."""

    code = "NOT_FOUND"


class RateLimited(RequestError):
    """Too many requests in too short a time. Wait for retryAfterMs milliseconds, then try again."""

    code = "RATE_LIMITED"
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_ms: int = 1000) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Throttled(CostExceeded):
    """The operations of the last seconds cost too much. Wait for retryAfterMs milliseconds, then try again."""

    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_ms: int = 1000) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Unauthenticated(RequestError):
    """The request carries no access token, or one that is not valid any more."""

    code = "UNAUTHENTICATED"


class NotAdmitted(Unauthenticated):
    """Your identity provider vouches for you, but you have no account here that you may use."""


class Unavailable(RequestError):
    """The service cannot answer right now. Try again."""

    code = "UNAVAILABLE"
    retryable = True


def catalogue(root: type[FlorinError]) -> list[type[FlorinError]]:
    """Every error below `root`, by code."""
    return sorted(root.__subclasses__(), key=lambda error: error.code)
