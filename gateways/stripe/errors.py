"""What Stripe's errors mean: which calls may be repeated, which answers are definite, and in which words they are told.

Sources: docs.stripe.com/api/errors, docs.stripe.com/error-codes, docs.stripe.com/declines/codes and
docs.stripe.com/error-low-level (retries, Stripe-Should-Retry, Idempotent-Replayed).
"""

from collections.abc import Mapping
from typing import NoReturn, Self

import stripe

from domain.payments.gateway import OutcomeUnknown, RejectionKind, RequestRejected
from domain.payments.transaction import Failure
from gateways.stripe.shapes import Json, maybe_mapping, maybe_text

# The card networks' advice in these cases is to try again; each other decline needs another card, or a call to the issuer.
_RETRYABLE_DECLINES = frozenset(
    {"approve_with_id", "issuer_not_available", "processing_error", "reenter_transaction", "try_again_later"}
)

# Another call holds the key or the object: the same call may do better in a moment, whatever the HTTP status is.
_BUSY = frozenset({"idempotency_key_in_use", "lock_timeout", "rate_limit"})

_REJECTIONS = {
    "amount_too_large": RejectionKind.AMOUNT,
    "amount_too_small": RejectionKind.AMOUNT,
    "invalid_charge_amount": RejectionKind.AMOUNT,
    "charge_exceeds_source_limit": RejectionKind.AMOUNT,
    "charge_exceeds_transaction_limit": RejectionKind.AMOUNT,
    "charge_already_refunded": RejectionKind.ALREADY_REFUNDED,
    "charge_already_captured": RejectionKind.WRONG_STATE,
    "charge_disputed": RejectionKind.WRONG_STATE,
    "charge_expired_for_capture": RejectionKind.WRONG_STATE,
    "charge_not_refundable": RejectionKind.WRONG_STATE,
    "capture_charge_authorization_expired": RejectionKind.WRONG_STATE,
    "capture_unauthorized_payment": RejectionKind.WRONG_STATE,
    "intent_invalid_state": RejectionKind.WRONG_STATE,
    "payment_intent_unexpected_state": RejectionKind.WRONG_STATE,
    "refund_disputed_payment": RejectionKind.WRONG_STATE,
    "payment_intent_incompatible_payment_method": RejectionKind.PAYMENT_METHOD,
    "payment_method_currency_mismatch": RejectionKind.PAYMENT_METHOD,
    "payment_method_invalid_parameter": RejectionKind.PAYMENT_METHOD,
    "payment_method_not_available": RejectionKind.PAYMENT_METHOD,
    "payment_method_unactivated": RejectionKind.PAYMENT_METHOD,
    "payment_method_unexpected_state": RejectionKind.PAYMENT_METHOD,
}
_REJECTED_PARAMETERS = {
    "amount": RejectionKind.AMOUNT,
    "amount_to_capture": RejectionKind.AMOUNT,
    "currency": RejectionKind.CURRENCY,
    "payment_method": RejectionKind.PAYMENT_METHOD,
}


class CallFailed(Exception):
    """A call that brought no usable object. Its text holds nothing of the answer but Stripe's error code: it may be logged.

    `status` is the HTTP status, None where no answer came. `error` is the error object of the answer, empty where it has
    none. `should_retry` is what Stripe-Should-Retry said, `replayed` whether the answer is one kept under the key.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        error: Json | None = None,
        request_id: str | None = None,
        should_retry: bool | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(f"{reason} (status {status}, request {request_id})")
        self.status = status
        self.error: Json = {} if error is None else error
        self.request_id = request_id
        self.should_retry = should_retry
        self.replayed = replayed

    @classmethod
    def from_sdk(cls, error: stripe.StripeError) -> Self:
        headers = error.headers or {}
        body = error.json_body if isinstance(error.json_body, dict) else {}
        described = maybe_mapping(body, "error")
        # A connection error's text is a class name from the transport; any other text may quote the answer.
        reason = str(error.user_message) if isinstance(error, stripe.APIConnectionError) else type(error).__name__
        return cls(
            reason if described is None else f"{reason} {maybe_text(described, 'code')}",
            status=error.http_status,
            error=described,
            request_id=error.request_id,
            should_retry={"true": True, "false": False}.get(headers.get("stripe-should-retry", "")),
            replayed=is_replay(headers),
        )

    @property
    def code(self) -> str | None:
        return maybe_text(self.error, "code")

    @property
    def payment_intent(self) -> Json | None:
        """The PaymentIntent as the error describes it, nothing in it expanded."""
        return maybe_mapping(self.error, "payment_intent")

    @property
    def repeatable(self) -> bool:
        """Whether the same call, under the same key, may be sent again at once without doing anything twice."""
        if self.status is None:
            return True
        if self.should_retry is not None:
            return self.should_retry
        # A success that cannot be read is as unknown as none.
        unreadable = 200 <= self.status < 300
        return unreadable or self.status in {409, 429} or self.status >= 500 or self.code in _BUSY

    @property
    def definite(self) -> bool:
        """Whether Stripe itself says that it refused the request.

        A proxy's 404 is no such answer, nor is one for an unknown address, nor "this key was used with other
        parameters": the call that used it first may have moved money.
        """
        if self.repeatable or self.status not in {400, 402, 404}:
            return False
        if self.status == 404 and self.code != "resource_missing":
            return False
        return maybe_text(self.error, "type") in {"invalid_request_error", "card_error"}

    @property
    def rate_limited(self) -> bool:
        """Whether Stripe asks us to slow down, and nothing else is wrong."""
        return self.status == 429 or self.code == "rate_limit"

    @property
    def misconfigured(self) -> bool:
        """Whether a person has to act: a key that is wrong or may not do this, or one idempotency key for two requests."""
        wrong_key = self.status in {401, 403}
        return not self.repeatable and (wrong_key or maybe_text(self.error, "type") == "idempotency_error")

    @property
    def failure(self) -> Failure:
        return failure_from(self.error)

    @property
    def rejection(self) -> RejectionKind:
        param = maybe_text(self.error, "param") or ""
        if self.code in _REJECTIONS:
            return _REJECTIONS[self.code]
        if param in _REJECTED_PARAMETERS:
            return _REJECTED_PARAMETERS[param]
        if self.code == "resource_missing":
            return RejectionKind.NOT_FOUND
        return RejectionKind.PAYMENT_METHOD if self.status == 402 else RejectionKind.OTHER

    def raise_outcome(self) -> NoReturn:
        """Say it in the port's words: raises RequestRejected where the answer is definite, otherwise OutcomeUnknown."""
        if self.definite:
            raise RequestRejected(self.rejection, self.failure) from self
        raise OutcomeUnknown(str(self)) from self


def failure_from(error: Json) -> Failure:
    """The failure in an API error or in a PaymentIntent's `last_payment_error`, which have the same fields."""
    code = maybe_text(error, "code") or maybe_text(error, "type") or "unknown"
    decline_code = maybe_text(error, "decline_code")
    return Failure(
        code=code,
        message=maybe_text(error, "message") or "The processor gave no reason.",
        decline_code=decline_code,
        retryable=_may_be_retried(decline_code or code, maybe_text(error, "advice_code")),
    )


def is_replay(headers: Mapping[str, str]) -> bool:
    """Whether an answer is the first one that Stripe gave under this key, which may be a day old."""
    return headers.get("idempotent-replayed") == "true"


def _may_be_retried(reason: str, advice: str | None) -> bool:
    # Stripe's advice may forbid what the code would allow. Its "try_again_later" is no promise: it also stands beside
    # declines for which Stripe's own table asks for another card.
    return reason in _RETRYABLE_DECLINES and advice not in {"do_not_try_again", "confirm_card_data"}
