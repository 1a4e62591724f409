"""Requests that a page of another site makes a browser send (https://fetch.spec.whatwg.org/#http-cors-protocol).

A browser sends some requests without asking: forms, and GET with no header of the page's own. Florin knows nobody by a cookie, so
that they would be anonymous; all the same none of them is answered. Everything else a browser asks for first, by OPTIONS, and
only the configured origins get a yes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from api.answer import HeaderFields
from domain.errors import BadInput

_ALLOWED_HEADERS: Final = "Authorization, Content-Type, Accept, X-Request-ID, X-Florin-Cost, GraphQL-Require-Preflight"
_EXPOSED_HEADERS: Final = b"X-Request-ID, RateLimit, RateLimit-Policy, Retry-After"
_KEPT_SECONDS: Final = "600"
# No browser sends any of these for a page of another site without asking first.
_MAKE_IT_ASK: Final = (
    "authorization",
    "graphql-require-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "x-requested-with",
)


class CrossSite:
    """Answers browsers that ask on behalf of other sites. Origins are compared whole: scheme, host and port."""

    def __init__(self, origins: Sequence[str], *, get_needs_preflight: bool) -> None:
        self._origins = frozenset(origins)
        self._get_needs_preflight = get_needs_preflight

    def asks_first(self, headers: Mapping[str, str]) -> bool:
        """Whether an OPTIONS request is a browser's question, from an origin that we know."""
        return "access-control-request-method" in headers and headers.get("origin") in self._origins

    def preflight(self, headers: Mapping[str, str]) -> Response:
        """The answer to such a question."""
        answer = Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
                "Access-Control-Max-Age": _KEPT_SECONDS,
                "Vary": "Origin",
            },
        )
        answer.raw_headers += self.headers(headers)
        return answer

    def headers(self, headers: Mapping[str, str]) -> HeaderFields:
        """What lets a page of a known origin read the answer. Never `*`, and never with credentials of the browser's own."""
        origin = headers.get("origin") if self._origins else None
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
        ]

    def require_preflight(self, headers: Mapping[str, str]) -> None:
        """Raises BadInput for a GET that a browser may have been made to send by a page of another site."""
        site = headers.get("sec-fetch-site")
        foreign = site is not None and site not in {"same-origin", "none"}
        if not foreign and not self._get_needs_preflight:
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            return
        if not any(headers.get(name) for name in _MAKE_IT_ASK):
            raise BadInput(
                "A query by GET carries a header that no page of another site can send unasked: Authorization, or "
                "GraphQL-Require-Preflight with any value."
            )
