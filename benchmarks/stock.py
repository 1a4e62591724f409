"""Florin's own schema and readers under stock Strawberry: its ASGI application, and graphql-core's executor.

Nothing is cached, limited, logged or authenticated: who asks stands in a header. What Florin adds to Strawberry is what the
difference to it shows, on either side.
"""

import asyncio
import json
import os
from uuid import UUID

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL

from api.graphql.context import Context
from api.graphql.scalars import format_moment
from api.graphql.schema import schema
from api.server import Services
from app.settings import load_settings
from app.wiring import open_parts, services
from domain.access import Actor, Role
from domain.ids import UserId


class Stock(GraphQL[Context, None]):
    """Strawberry's application, with Florin's context."""

    def __init__(self, wired: Services) -> None:
        super().__init__(schema, graphql_ide=None)
        self._wired = wired

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        user_id = UserId(UUID(request.headers["x-user"]))
        return Context(
            request_id="",
            acts=self._wired.acts,
            readers=self._wired.readers,
            actor=Actor(user_id=user_id, role=Role.CUSTOMER),
        )

    def encode_json(self, data: object) -> str:
        # Moments are left to whoever writes an answer.
        return json.dumps(data, separators=(",", ":"), default=format_moment)


async def _ready(_: Request) -> Response:
    return PlainTextResponse("ready")


async def serve() -> None:
    settings = load_settings()
    async with open_parts(settings, settings.database_of_api()) as parts:
        app = Starlette(routes=[Route("/ready", _ready)])
        app.mount("/graphql", Stock(services(parts, None)))
        config = uvicorn.Config(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, ws="none")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
