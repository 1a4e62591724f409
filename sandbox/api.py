"""The course of one request, from its bytes to the answer's.

A request is authenticated, decoded, looked up under its idempotency key, checked, executed in one transaction, and
answered. Execution never yields to another request, so two requests on one object follow each other.
"""

import asyncio
import base64
import binascii
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from sandbox import (
    account,
    balance,
    capture,
    charges,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    refunds,
    webhook_endpoints,
)
from sandbox.control import CONTROLS, Control
from sandbox.errors import ApiError, invalid
from sandbox.expand import Tree, parse_expansions
from sandbox.forms import Raw, RawHash, decode_form
from sandbox.idempotency import KeyedRequest, StoredAnswer, keyed_request
from sandbox.ids import new_id
from sandbox.machine import Machine
from sandbox.operation import API_VERSION, Answer, Call, Endpoint, Operation, Page
from sandbox.parameters import Fields, ListOf, Parameter, Text
from sandbox.rendering import render, render_page
from sandbox.store import Record
from sandbox.wire import Json, dump

_log = logging.getLogger(__name__)

ENDPOINTS: tuple[Endpoint, ...] = (
    *payment_intents.ENDPOINTS,
    *capture.ENDPOINTS,
    *charges.ENDPOINTS,
    *refunds.ENDPOINTS,
    *payment_methods.ENDPOINTS,
    *customers.ENDPOINTS,
    *events.ENDPOINTS,
    *balance.ENDPOINTS,
    *disputes.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *account.ENDPOINTS,
)
_EXPAND: Parameter = ListOf(Text())
_VERSION = re.compile(r"20\d\d-[01]\d-[0-3]\d(\.[a-z]{1,32})?", re.ASCII)
_BODY_BYTES_MAX = 512 * 1_024
_FORM = "application/x-www-form-urlencoded"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(slots=True)
class Exchange:
    """One request by an authenticated client, and the headers that its answer gets besides the usual ones."""

    request: Request
    request_id: str
    api_key: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Result:
    status: int
    body: bytes


_Handler = Callable[[Exchange], Awaitable[_Result]]


class Api:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._routes: list[Route] = []

    def routes(self) -> list[Route]:
        for endpoint in ENDPOINTS:
            self._routes.append(self._route(endpoint.path, endpoint.method, self._endpoint_handler(endpoint)))
        for control in CONTROLS:
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
                result = _Result(400, b"")
            except Exception:  # noqa: BLE001 - a fault of ours is answered as Stripe answers its own
                _log.exception("%s %s failed", request.method, request.url.path)
                result = self._refusal(_unknown_error(), request_id)
            return Response(result.body, result.status, _headers(result.status, request_id) | headers)

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

    def _refusal(self, error: ApiError, request_id: str) -> _Result:
        return _Result(error.status, dump(error.body(request_id, self._machine.clock.timestamp())))

    async def _unknown(self, exchange: Exchange) -> _Result:
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
        async def handle(exchange: Exchange) -> _Result:
            params = await _parameters(exchange.request, json_too=True)
            self._machine.run_due_timers()
            return _Result(200, dump(control.act(self._machine, exchange.request.path_params, params)))

        return handle

    def _endpoint_handler(self, endpoint: Endpoint) -> _Handler:
        takes = Fields({**endpoint.takes.known, "expand": _EXPAND}, endpoint.takes.required)

        async def handle(exchange: Exchange) -> _Result:
            raw = await _parameters(exchange.request)
            key = exchange.request.headers.get("idempotency-key")
            if endpoint.method != "POST" or not key:
                return self._execute(endpoint, takes, exchange, raw, None)
            exchange.headers["Idempotency-Key"] = key
            keyed = keyed_request(exchange.api_key, key, exchange.request.url.path, raw)
            stored = self._machine.idempotency_keys.claim(keyed)
            if stored is not None:
                exchange.headers |= {"Idempotent-Replayed": "true", "Original-Request": stored.request_id}
                return _Result(stored.status, stored.body)
            exchange.headers["Original-Request"] = exchange.request_id
            try:
                if self._machine.config.latency_seconds:
                    await asyncio.sleep(self._machine.config.latency_seconds)
                return self._execute(endpoint, takes, exchange, raw, keyed)
            finally:
                self._machine.idempotency_keys.release(keyed)

        return handle

    def _execute(
        self, endpoint: Endpoint, takes: Fields, exchange: Exchange, raw: RawHash, keyed: KeyedRequest | None
    ) -> _Result:
        """Raises ApiError for what was refused before anything could be stored."""
        machine = self._machine
        machine.run_due_timers()
        params = takes.parse_hash(raw)
        tree = parse_expansions(params.pop("expand", ()), endpoint.answers, in_list=endpoint.answers_list)
        call = Call(exchange.request.path_params, params)
        try:
            with machine.begin(exchange.request_id, keyed.key if keyed else None) as op:
                result = self._act(op, endpoint, call, tree, exchange)
                self._keep(keyed, result, exchange)
        except ApiError as error:
            if not error.stored:
                raise
            result = self._refusal(error, exchange.request_id)
        except Exception:  # noqa: BLE001 - a fault of ours is answered, and repeated, as Stripe does its own
            _log.exception("%s %s failed", endpoint.method, endpoint.path)
            result = self._refusal(_unknown_error(), exchange.request_id)
        else:
            return result
        # What was changed is undone, but the answer is kept: Stripe repeats refusals and failures alike.
        with machine.store.transaction():
            self._keep(keyed, result, exchange)
        return result

    def _act(self, op: Operation, endpoint: Endpoint, call: Call, tree: Tree, exchange: Exchange) -> _Result:
        try:
            return _Result(200, dump(_shown(op, endpoint.act(op, call), tree)))
        except ApiError as error:
            if not error.commits:
                raise
            return self._refusal(error, exchange.request_id)

    def _keep(self, keyed: KeyedRequest | None, result: _Result, exchange: Exchange) -> None:
        if keyed is not None:
            answer = StoredAnswer(result.status, result.body, exchange.request_id)
            self._machine.idempotency_keys.keep(keyed, answer)


def _shown(op: Operation, answer: Answer, tree: Tree) -> Json:
    if isinstance(answer, Record):
        return render(op, answer, tree)
    if isinstance(answer, Page):
        return render_page(op, answer, tree)
    return answer


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


def _unknown_error() -> ApiError:
    return ApiError(500, "An unknown error occurred", kind="api_error")


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
    """A flat object, as if it had been sent as a form."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid("The body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise invalid("The body must be a JSON object.")
    flat: dict[str, Raw] = {name: value if isinstance(value, str) else str(value) for name, value in document.items()}
    return flat
