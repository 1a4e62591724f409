"""The ASGI application: every address there is."""

from collections.abc import Awaitable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from api.access_tokens import AccessTokens
from api.authentication import Authentication
from api.cross_site import CrossSite
from api.graphiql import GraphiqlConfig, graphiql_page, graphiql_routes
from api.graphql.compiled import CompletionCounter, PlanCache
from api.graphql.context import Acts
from api.graphql.execution import ExecutionConfig, Executor, Unfinished
from api.graphql.http import GraphQLEndpoint, MethodNotAllowed
from api.graphql.readers import Readers
from api.graphql.schema import schema
from api.graphql.trusted import Admission
from api.problem import problem_response
from api.request import RequestLog, RequestObserver, record_of
from api.rest.health import ReadinessCheck, Ready, alive
from api.rest.jwks import Jwks
from api.rest.provider_sign_in import SignInPages
from api.rest.stripe_webhook import StripeWebhook
from api.throttle import Addresses, Throttle
from domain.access import Capability
from domain.errors import ObjectNotFound
from domain.identity.authenticate_key import AuthenticateKey
from domain.identity.authenticate_vouched import AuthenticateVouched
from domain.messaging.receive_webhook import ReceiveWebhook
from domain.ports import Clock, IdSource

_GRAPHQL_PATH = "/graphql"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireConfig:
    """What the wire takes.

    `origins` are the sites whose pages may call the API; `hsts` is whether browsers are told to come by TLS alone.
    """

    execution: ExecutionConfig
    body_bytes_max: int
    trusted_proxies: tuple[str, ...]
    origins: tuple[str, ...]
    get_needs_preflight: bool
    hsts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the addresses need, put together by `app`. `graphiql` and `sign_in_pages` are None where not offered."""

    acts: Acts
    receive_webhook: ReceiveWebhook
    readers: Readers
    tokens: AccessTokens
    authenticate_key: AuthenticateKey
    authenticate_vouched: AuthenticateVouched | None
    sign_in_pages: SignInPages | None
    admission: Admission
    readiness: ReadinessCheck
    clock: Clock
    ids: IdSource
    observe_request: RequestObserver
    count_completion: CompletionCounter
    graphiql: GraphiqlConfig | None
    throttle: Throttle
    unfinished: Unfinished
    wire: WireConfig
    administrators_need_second_factor: bool = False


def create_application(services: Services, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """The application over these services."""
    graphiql, wire, pages = services.graphiql, services.wire, services.sign_in_pages
    addresses = Addresses(wire.trusted_proxies)
    executor = Executor(
        schema,
        services.throttle,
        wire.execution,
        may_see_schema=lambda actor: actor.may(Capability.SCHEMA_READ),
        unfinished=services.unfinished,
        plans=PlanCache(services.count_completion),
    )
    endpoint = GraphQLEndpoint(
        executor=executor,
        authentication=Authentication(
            services.tokens,
            services.readers.identity,
            services.authenticate_key,
            services.authenticate_vouched,
            services.clock,
            administrators_need_second_factor=services.administrators_need_second_factor,
        ),
        admission=services.admission,
        acts=services.acts,
        readers=services.readers,
        throttle=services.throttle,
        addresses=addresses,
        cross_site=CrossSite(wire.origins, get_needs_preflight=wire.get_needs_preflight),
        body_bytes_max=wire.body_bytes_max,
        page=None if graphiql is None else graphiql_page(graphiql),
    )
    # An application of its own, as an instance is to Starlette: the endpoint refuses methods itself, in the shape of a GraphQL
    # answer, and is spared what Starlette puts around a function.
    graphql = Route(_GRAPHQL_PATH, endpoint)
    app = Starlette(
        routes=[
            graphql,
            Route("/webhooks/stripe", StripeWebhook(services.receive_webhook).__call__, methods=["POST"]),
            Route("/.well-known/jwks.json", Jwks(services.tokens).__call__),
            Route("/healthz", alive),
            Route("/readyz", Ready(services.readiness).__call__),
            *([] if pages is None else pages.routes(services.throttle, addresses)),
            *([] if graphiql is None else graphiql_routes(graphiql)),
        ],
        lifespan=lifespan,
    )
    # Behind a proxy that ends TLS the redirect would lead to plain HTTP, and the client would send its token there.
    app.router.redirect_slashes = False
    addressed = _short_way(endpoint, ExceptionMiddleware(app.router, handlers={HTTPException: _http_error}))
    # Starlette's own stack has a layer more, which answers for whatever fails: nothing that RequestLog has not answered for.
    app.middleware_stack = RequestLog(addressed, services.ids, services.observe_request, hsts=wire.hsts)
    return app


def _short_way(endpoint: ASGIApp, rest: ASGIApp) -> ASGIApp:
    """Nearly all requests are for one address: they are spared Starlette's search, which takes as long as a small answer."""

    def application(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        straight = scope["type"] == "http" and scope["path"] == _GRAPHQL_PATH
        return (endpoint if straight else rest)(scope, receive, send)

    return application


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals, as problem+json like all others."""
    method_refused = isinstance(error, HTTPException) and error.status_code == 405
    response = problem_response(
        MethodNotAllowed("This address does not answer to this method.") if method_refused else ObjectNotFound(),
        record_of(request.scope).id,
    )
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
