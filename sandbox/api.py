"""The course of one request, from its bytes to the answer's: authenticated, decoded, executed (`execution.py`), answered."""

import base64
import binascii
import hmac
import logging
import re
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from sandbox.broken_answers import answer
from sandbox.control import CONTROLS, Control
from sandbox.endpoints import ENDPOINTS
from sandbox.errors import ApiError, invalid, unknown_error
from sandbox.execution import Exchange, Execution, Result, refusal
from sandbox.fault_controls import FAULT_CONTROLS
from sandbox.forms import Raw, RawHash, decode_form
from sandbox.ids import new_id
from sandbox.machine import Machine
from sandbox.operation import API_VERSION, Call, Endpoint
from sandbox.wire import dump

_log = logging.getLogger(__name__)

_VERSION = re.compile(r"20\d\d-[01]\d-[0-3]\d(\.[a-z]{1,32})?", re.ASCII)
_BODY_BYTES_MAX = 512 * 1_024
_FORM = "application/x-www-form-urlencoded"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


_Handler = Callable[[Exchange], Awaitable[Result]]


class Api:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._routes: list[Route] = []

    def routes(self) -> list[Route]:
        for endpoint in ENDPOINTS:
            self._routes.append(self._route(endpoint.path, endpoint.method, self._endpoint_handler(endpoint)))
        for control in (*CONTROLS, *FAULT_CONTROLS):
            self._routes.append(self._route(control.path, control.method, self._control_handler(control)))
        return [*self._routes, Route("/{path:path}", self._responder(self._unknown), methods=_METHODS)]

    def _route(self, path: str, method: str, handler: _Handler) -> Route:
        return Route(path, self._responder(handler), methods=[method])

    def _responder(self, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            request_id = new_id("request")
            headers: dict[str, str] = {}
            try:
                exchange = Exchange(request, request_id, self._authenticate(request), headers)
                _check_version(request)
                result = await handler(exchange)
            except ApiError as error:
                result = self._refusal(error, request_id)
                headers |= error.headers
            except ClientDisconnect:
                # Nobody is left to read it.
                result = Result(400, b"")
            except Exception:  # noqa: BLE001 - a fault of ours is answered as Stripe answers its own
                _log.exception("%s %s failed", request.method, request.url.path)
                result = self._refusal(unknown_error(), request_id)
            return answer(result, _headers(result.status, request_id) | headers)

        return respond

    def _authenticate(self, request: Request) -> str:
        """The API key. Raises ApiError 401."""
        presented = _presented_key(request.headers.get("authorization", ""))
        if not presented:
            raise _unauthorized(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
                "https://stripe.com/docs/api#authentication for details, or we can help at "
                "https://support.stripe.com/."
            )
        for known in self._machine.config.api_keys:
            if hmac.compare_digest(presented.encode(), known.encode()):
                return known
        raise _unauthorized(f"Invalid API Key provided: {_masked(presented)}")

    def _refusal(self, error: ApiError, request_id: str) -> Result:
        return refusal(error, request_id, self._machine.clock.timestamp())

    async def _unknown(self, exchange: Exchange) -> Result:
        request = exchange.request
        allowed = [
            method
            for route in self._routes
            if route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        ]
        if allowed:
            raise ApiError(
                405,
                f"{request.method} is not allowed for {request.url.path}.",
                headers={"Allow": ", ".join(sorted(allowed))},
            )
        raise ApiError(
            404,
            f"Unrecognized request URL ({request.method}: {request.url.path}). If you are trying to list objects, "
            "remove the trailing slash. If you are trying to retrieve an object, make sure you passed a valid "
            "(non-empty) identifier in your code. Please see https://stripe.com/docs or we can help at "
            "https://support.stripe.com/.",
        )

    def _control_handler(self, control: Control) -> _Handler:
        async def handle(exchange: Exchange) -> Result:
            params = control.takes.parse_hash(await _parameters(exchange.request, json_too=True))
            self._machine.run_due_timers()
            return Result(200, dump(control.act(self._machine, Call(exchange.request.path_params, params))))

        return handle

    def _endpoint_handler(self, endpoint: Endpoint) -> _Handler:
        execute = Execution(self._machine, endpoint)

        async def handle(exchange: Exchange) -> Result:
            return await execute(exchange, await _parameters(exchange.request))

        return handle


def _headers(status: int, request_id: str) -> dict[str, str]:
    headers = {
        "Cache-Control": "no-cache, no-store",
        "Content-Type": "application/json",
        "Request-Id": request_id,
        "Stripe-Version": API_VERSION,
    }
    if status >= 400:
        # A conflict passes; a stored 500 would only be repeated.
        headers["Stripe-Should-Retry"] = "true" if status in {409, 429} else "false"
    return headers


def _presented_key(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _masked(key: str) -> str:
    """Enough to recognise one's own key by, and no more."""
    prefix = key[:8] if key.startswith(("sk_test_", "sk_live_", "pk_test_", "pk_live_")) else ""
    rest = key[len(prefix) :]
    return prefix + "*" * max(len(rest) - 4, 4) + (rest[-4:] if len(rest) > 8 else "")


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="Stripe"'})


def _check_version(request: Request) -> None:
    """Any version that Stripe could have named is taken, and answered in the sandbox's own.

    What differs between the versions of these years lies outside what the sandbox keeps, and SDKs of all of them come here.
    """
    version = request.headers.get("stripe-version", API_VERSION)
    if not _VERSION.fullmatch(version):
        raise invalid(f"Invalid Stripe API version: {version}", param="Stripe-Version")


async def _parameters(request: Request, *, json_too: bool = False) -> RawHash:
    """Of the query, and of the body where there is one. Raises ApiError 400."""
    query = request.url.query.encode()
    if request.method != "POST":
        return decode_form(query)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            raise invalid(f"The request is too large: at most {_BODY_BYTES_MAX} bytes are taken.")
    content_type = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if body and json_too and content_type == "application/json":
        return _decode_json(bytes(body))
    if body and content_type != _FORM:
        raise invalid(
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any "
            "questions, we can help at https://support.stripe.com/."
        )
    return decode_form(b"&".join(filter(None, (query, bytes(body)))))


def _decode_json(body: bytes) -> RawHash:
    """An object, as if it had been sent as a form."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid("The body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise invalid("The body must be a JSON object.")
    return {name: _as_form(value) for name, value in document.items()}


def _as_form(value: object) -> Raw:
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case dict():
            return {name: _as_form(each) for name, each in value.items()}
        case list():
            return [_as_form(each) for each in value]
        case None:
            return ""
    return str(value)
