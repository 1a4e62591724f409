"""GET /metrics on a listener of its own: never on the public port, and on the loopback interface unless told otherwise."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.metrics import Metrics
from domain.payments.open_work import OpenWorkReader

log = structlog.get_logger(__name__)


class _Listener(uvicorn.Server):
    """A server beside the program's main one, to which the signals belong."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def metrics_application(metrics: Metrics, reader: OpenWorkReader) -> Starlette:
    """The one address."""

    async def scrape(_: Request) -> Response:
        return Response(await metrics.page(reader), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/metrics", scrape)])


@contextlib.asynccontextmanager
async def serving_metrics(
    metrics: Metrics, reader: OpenWorkReader, *, host: str, port: int | None
) -> AsyncIterator[None]:
    """Serve metrics while the block runs; not at all where `port` is None. Raises OSError where the port is taken."""
    if port is None:
        yield
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        config = uvicorn.Config(
            metrics_application(metrics, reader),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
        )
        server = _Listener(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        log.info("metrics.started", host=host, port=listener.getsockname()[1])
        try:
            yield
        finally:
            server.should_exit = True
            await serving
