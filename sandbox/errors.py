"""Stripe's refusals: HTTP status, error body, and whether the answer is kept under the idempotency key.

The codes are those of https://docs.stripe.com/error-codes, the types and statuses those of
https://docs.stripe.com/api/errors.
"""

from sandbox.wire import Json


class ApiError(Exception):
    """An answer other than 2xx.

    `stored` says whether the answer is replayed to a later request with the same idempotency key: Stripe keeps what
    an endpoint answered once it began to execute, and nothing that was refused before.
    `commits` says whether what the endpoint changed before it raised stays changed, as a declined payment does.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        details: Json | None = None,
        stored: bool = True,
        commits: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.details = details or {}
        self.stored = stored
        self.commits = commits
        self.headers = headers or {}

    def body(self, request_id: str, timestamp: int) -> Json:
        error: Json = {**self.details, "message": self.message, "type": self.kind}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = doc_url(self.code)
        if self.param is not None:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}?t={timestamp}"
        return {"error": dict(sorted(error.items()))}


def doc_url(code: str) -> str:
    return "https://stripe.com/docs/error-codes/" + code.replace("_", "-")


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that is refused before it executes: nothing is stored under its idempotency key."""
    return ApiError(400, message, code=code, param=param, stored=False)


def missing(param: str) -> ApiError:
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def exclusive(*params: str) -> ApiError:
    names = ", ".join(params)
    return invalid(
        f"You may only specify one of these parameters: {names}.", param=params[0], code="parameters_exclusive"
    )


_SPOKEN_NAMES = {"payment_method": "PaymentMethod"}


def no_such(kind: str, object_id: str, param: str, status: int = 404) -> ApiError:
    """404 for the object that a path names; Stripe answers 400 for one that a parameter names."""
    name = _SPOKEN_NAMES.get(kind, kind)
    return ApiError(status, f"No such {name}: '{object_id}'", code="resource_missing", param=param)


def unexpected_state(message: str, payment_intent: Json) -> ApiError:
    return ApiError(400, message, code="payment_intent_unexpected_state", details={"payment_intent": payment_intent})


def unknown_error() -> ApiError:
    return ApiError(500, "An unknown error occurred", kind="api_error")


def rate_limited() -> ApiError:
    """https://docs.stripe.com/rate-limits. Nothing is stored, so that the same key may come again."""
    return ApiError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        stored=False,
    )


def lock_timeout() -> ApiError:
    """https://docs.stripe.com/rate-limits#object-lock-timeouts. A 429, too; Stripe's libraries repeat it with the same key."""
    return ApiError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
        "it. If you see this error intermittently, retry the request. If you see this error frequently and are making "
        "multiple concurrent requests to a single object, make your requests serially or at a lower rate.",
        code="lock_timeout",
        stored=False,
    )
