"""GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/): which requests are well formed, and what they get."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import structlog
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.answer import Answer, HeaderFields
from api.authentication import Authentication
from api.cross_site import CrossSite
from api.graphql.context import Acts, Context
from api.graphql.execution import Executor, MutationByGet, OperationRequest
from api.graphql.problems import error_extensions
from api.graphql.readers import Readers
from api.graphql.scalars import ANSWER_OPTIONS
from api.graphql.trusted import Admission, digest_in
from api.header_fields import header_fields
from api.negotiation import preferred
from api.problem import status_of
from api.request import read_body, record_of
from api.throttle import Addresses, Throttle, rate_limit_headers
from domain.errors import BadInput, FlorinError, InternalError, RateLimited, RequestError, Throttled, Unauthenticated

log = structlog.get_logger(__name__)

Headers: TypeAlias = Mapping[str, str]

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"

_NAMING_A_DOCUMENT = frozenset({"query", "documentId", "extensions"})

# A client asks by this header, or by the request's extension `cost`, what an operation costs.
COST_HEADER = "x-florin-cost"

# What every answer of a media type carries.
_HEADERS: Mapping[str, HeaderFields] = {
    media_type: [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept, Authorization, Origin"),
    ]
    for media_type in (JSON, GRAPHQL_RESPONSE)
}


class UnsupportedMediaType(RequestError):
    """A request by POST carries its operation as application/json in UTF-8."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class MethodNotAllowed(RequestError):
    """This address answers to GET (queries only) and POST."""

    code = "METHOD_NOT_ALLOWED"


class NotAcceptable(RequestError):
    """This address answers in application/graphql-response+json or application/json."""

    code = "NOT_ACCEPTABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLEndpoint:
    """The address /graphql. `page` is GraphiQL, for browsers; None where it is not offered."""

    executor: Executor
    authentication: Authentication
    admission: Admission
    acts: Acts
    readers: Readers
    throttle: Throttle
    addresses: Addresses
    cross_site: CrossSite
    body_bytes_max: int
    page: Callable[[Request], Awaitable[Response]] | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = header_fields(scope)
        if scope["method"] == "OPTIONS" and self.cross_site.asks_first(headers):
            await self.cross_site.preflight(headers)(scope, receive, send)
            return
        answer = await self._answer(scope, headers, receive)
        answer.raw_headers += self.cross_site.headers(headers)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer | Response:
        accept = headers.get("accept")
        if scope["method"] == "GET" and self.page is not None:
            # Without a query there is nothing to answer but the page, which every browser and `*/*` accept.
            wants_page = QueryParams(scope["query_string"]).keys().isdisjoint(_NAMING_A_DOCUMENT)
            if wants_page and preferred(accept, (HTML, JSON, GRAPHQL_RESPONSE)) == HTML:
                return await self.page(Request(scope, receive))
        media_type = preferred(accept, (JSON, GRAPHQL_RESPONSE))
        if media_type is None:
            return _error_response(scope, NotAcceptable(), JSON)
        try:
            return await self._run(scope, headers, receive, media_type)
        except FlorinError as error:
            return _error_response(scope, error, media_type)
        except ClientDisconnect:
            # Nobody is there to read it, but the request log wants an answer.
            return _error_response(scope, BadInput("The connection closed before the request was complete."), JSON)
        except Exception:
            # Whoever sends GraphQL reads answers in its shape, whatever went wrong.
            log.exception("request.failed")
            return _error_response(scope, InternalError(), media_type)

    async def _run(self, scope: Scope, headers: Headers, receive: Receive, media_type: str) -> Answer:
        method, peer = scope["method"], scope["client"]
        if method not in {"GET", "POST"}:
            raise MethodNotAllowed
        address = self.addresses.of("" if peer is None else peer[0], headers.get("x-forwarded-for", ""))
        taken = await self.throttle.request(address)
        if method == "POST":
            operation = await _from_body(headers, receive, self.body_bytes_max)
        else:
            self.cross_site.require_preflight(headers)
            operation = _from_url(scope, headers)
        record = record_of(scope)
        caller = await self.authentication.caller(headers)
        actor = None if caller is None else caller.actor
        if actor is not None:
            taken = await self.throttle.actor(actor)
        record.actor = None if actor is None else actor.user_id
        operation, actor = await self.admission.admit(operation, actor)
        context = Context(
            request_id=record.id,
            acts=self.acts,
            readers=self.readers,
            actor=actor,
            session_id=None if caller is None else caller.session_id,
            address=address,
            client=headers.get("user-agent"),
        )
        result = await self.executor.run(operation, context, address, read_only=method == "GET")
        record.operation = context.operation_name
        record.kind = context.operation_kind or record.kind
        # A client that asks for plain JSON gets 200 for every well-formed request: it may stand behind proxies that make
        # an answer of their own of anything else. The other media type tells with its status whether anything ran.
        status = 200 if result.executed or media_type == JSON else 400
        return _response(result.body, status, media_type, rate_limit_headers(taken))


def _response(body: Mapping[str, object], status: int, media_type: str, headers: HeaderFields) -> Answer:
    content = orjson.dumps(body, option=ANSWER_OPTIONS)
    length = (b"content-length", str(len(content)).encode())
    return Answer(status, [*_HEADERS[media_type], length, *headers], content)


def _error_response(scope: Scope, error: FlorinError, media_type: str) -> Answer:
    """An error of the request itself, before any operation ran, in the shape of a GraphQL response."""
    extensions = error_extensions(error, record_of(scope).id)
    status, headers = status_of(error), HeaderFields()
    if isinstance(error, MutationByGet):
        status, headers = 405, [(b"allow", b"POST")]
    elif isinstance(error, MethodNotAllowed):
        headers = [(b"allow", b"GET, POST")]
    elif isinstance(error, Unauthenticated):
        headers = [(b"www-authenticate", b'Bearer error="invalid_token"')]
    elif isinstance(error, RateLimited | Throttled):
        headers = [(b"retry-after", str(-(-error.retry_after_ms // 1000)).encode())]
    return _response({"errors": [{"message": error.message, "extensions": extensions}]}, status, media_type, headers)


async def _from_body(headers: Headers, receive: Receive, bytes_max: int) -> OperationRequest:
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if media_type.strip().lower() != JSON or charset not in {"", "charset=utf-8"}:
        raise UnsupportedMediaType
    body = await read_body(headers, receive, bytes_max)
    try:
        content = orjson.loads(body)
    except ValueError as error:
        raise BadInput(f"The body is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BadInput('The body is a JSON object such as {"query": "{ __typename }"}; lists (batches) are not taken.')
    return _operation(content, headers)


def _from_url(scope: Scope, headers: Headers) -> OperationRequest:
    parameters: dict[str, Any] = {}  # Any: whatever JSON the client sends
    for name, value in QueryParams(scope["query_string"]).multi_items():
        if name in parameters:
            raise BadInput(f"The parameter {name} is given twice.")
        parameters[name] = value
    for name in ("variables", "extensions"):
        if name in parameters:
            try:
                parameters[name] = orjson.loads(parameters[name])
            except ValueError as error:
                raise BadInput(f"{name} is not valid JSON: {error}.") from error
    return _operation(parameters, headers)


def _operation(content: Mapping[str, Any], headers: Headers) -> OperationRequest:  # Any: whatever JSON the client sends
    query, name = content.get("query"), content.get("operationName")
    variables, extensions = content.get("variables"), content.get("extensions")
    digest = digest_in(content)
    if query is None and digest is not None:
        query = ""
    if not isinstance(query, str):
        raise BadInput("query is missing: it holds the GraphQL document as a string.")
    if name is not None and not isinstance(name, str):
        raise BadInput("operationName is a string.")
    if variables is not None and not isinstance(variables, dict):
        raise BadInput("variables is a JSON object.")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadInput("extensions is a JSON object.")
    return OperationRequest(
        query=query,
        operation_name=name or None,
        variables=variables,
        digest=digest,
        tells_cost=COST_HEADER in headers or bool(extensions and extensions.get("cost")),
    )
