"""What each error is in HTTP: its status, and its body as problem+json (RFC 9457)."""

import orjson
from starlette.responses import Response

from domain.errors import FlorinError

_STATUS = {
    "BAD_INPUT": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "DOCUMENT_NOT_TRUSTED": 403,
    "NOT_FOUND": 404,
    "PERSISTED_QUERY_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "COST_EXCEEDED": 429,
    "RATE_LIMITED": 429,
    "DEADLINE_EXCEEDED": 504,
    "UNAVAILABLE": 503,
}


def status_of(error: FlorinError) -> int:
    """The HTTP status of an error's code; 500 for one that has none."""
    return _STATUS.get(error.code, 500)


def problem_response(error: FlorinError, request_id: str) -> Response:
    status = status_of(error)
    body = {
        "type": "about:blank",
        "title": error.default_message(),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "retryable": error.retryable,
        "requestId": request_id,
    }
    return Response(orjson.dumps(body), status_code=status, media_type="application/problem+json")
