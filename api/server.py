"""The ASGI application: every address there is."""

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from api.access_tokens import AccessTokens
from api.authentication import Authentication
from api.graphiql import GraphiqlConfig, graphiql_page, graphiql_routes
from api.graphql.context import Acts
from api.graphql.execution import Executor
from api.graphql.http import GraphQLEndpoint, MethodNotAllowed
from api.graphql.readers import Readers
from api.graphql.schema import schema
from api.graphql.trusted import Admission
from api.problem import problem_response
from api.request import RequestLog, RequestObserver, record_of
from api.rest.health import ReadinessCheck, Ready, alive
from api.rest.jwks import Jwks
from api.rest.stripe_webhook import StripeWebhook
from domain.errors import ObjectNotFound
from domain.identity.authenticate_key import AuthenticateKey
from domain.messaging.receive_webhook import ReceiveWebhook
from domain.ports import Clock, IdSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the addresses need, put together by `app`. `graphiql` is None where the page is not offered."""

    acts: Acts
    receive_webhook: ReceiveWebhook
    readers: Readers
    tokens: AccessTokens
    authenticate_key: AuthenticateKey
    admission: Admission
    readiness: ReadinessCheck
    clock: Clock
    ids: IdSource
    observe_request: RequestObserver
    graphiql: GraphiqlConfig | None


def create_application(services: Services, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """The application over these services."""
    graphiql = services.graphiql
    endpoint = GraphQLEndpoint(
        executor=Executor(schema),
        authentication=Authentication(
            services.tokens, services.readers.identity, services.authenticate_key, services.clock
        ),
        admission=services.admission,
        acts=services.acts,
        readers=services.readers,
        page=None if graphiql is None else graphiql_page(graphiql),
    )
    graphql = Route("/graphql", endpoint.__call__)
    # The endpoint refuses methods itself, in the shape of a GraphQL answer.
    graphql.methods = None
    app = Starlette(
        routes=[
            graphql,
            Route("/webhooks/stripe", StripeWebhook(services.receive_webhook).__call__, methods=["POST"]),
            Route("/.well-known/jwks.json", Jwks(services.tokens).__call__),
            Route("/healthz", alive),
            Route("/readyz", Ready(services.readiness).__call__),
            *([] if graphiql is None else graphiql_routes(graphiql)),
        ],
        middleware=[Middleware(RequestLog, ids=services.ids, observe=services.observe_request)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    # Behind a proxy that ends TLS the redirect would lead to plain HTTP, and the client would send its token there.
    app.router.redirect_slashes = False
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals, as problem+json like all others."""
    method_refused = isinstance(error, HTTPException) and error.status_code == 405
    response = problem_response(
        MethodNotAllowed("This address does not answer to this method.") if method_refused else ObjectNotFound(),
        record_of(request).id,
    )
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
