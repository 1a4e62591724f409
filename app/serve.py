"""The two programs of production: the API under uvicorn, and the worker. Both stop cleanly on SIGTERM and SIGINT."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine

import structlog
import uvicorn
import uvloop

from api.server import create_application
from app.connections import ConnectionLimits, bounded_protocol
from app.database_checks import check_when_reachable, checked
from app.settings import Settings
from app.wiring import open_metrics, open_parts, open_worker, services

log = structlog.get_logger(__name__)

_SHUTDOWN_SECONDS = 25
# Python's own 700 is less than one page of transactions makes.
_NEW_OBJECTS_UNTIL_COLLECTED = 50_000


def run(program: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a program to its end on uvloop. An interrupt is an end like any other."""
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(program())


async def serve_api(settings: Settings) -> None:
    """Serve until a signal stops it; requests that are under way are finished first.

    Raises UnsafeDatabase, before it listens where the database can be asked by then. One that is away does not keep the
    API from starting: it has to say so at GET /readyz.
    """
    async with open_parts(settings, settings.database_of_api()) as parts, open_metrics(parts):
        wired = services(parts, settings.graphiql())
        config = uvicorn.Config(
            create_application(wired),
            http=bounded_protocol(
                ConnectionLimits(
                    connections_max=settings.connections_max,
                    headers_seconds=settings.headers_timeout_seconds,
                    body_seconds=settings.body_timeout_seconds,
                )
            ),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            # Uvicorn would take the client's address from the left of X-Forwarded-For: `api.throttle` takes it from the right.
            proxy_headers=False,
        )
        server = uvicorn.Server(config)
        # Uvicorn stops on these signals and then raises them anew, which would kill the process before it has closed its
        # connections; with a handler of our own the second one does nothing.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

        def stop() -> None:
            server.should_exit = True

        async with checked(parts.engine, settings.environment, stop):
            _spare_garbage_collector()
            log.info("api.started", host=settings.host, port=settings.port)
            await server.serve()
            await wired.unfinished.finish(_SHUTDOWN_SECONDS)
            log.info("api.stopped")


def _spare_garbage_collector() -> None:
    """Let the garbage collector look at what requests leave behind, and seldom: a page of transactions is thousands of objects.

    What there is by now (code, schema, tables) stays for as long as the process. What a request made goes with its last
    reference; only cycles wait for the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_UNTIL_COLLECTED)


async def work(settings: Settings) -> None:
    """Work until a signal stops it; what has been begun is finished first. Raises UnsafeDatabase before it takes anything up."""
    loop = asyncio.get_running_loop()
    async with open_parts(settings) as parts, open_metrics(parts), open_worker(parts) as worker:
        checking = asyncio.create_task(check_when_reachable(parts.engine, settings.environment))

        def stop() -> None:
            checking.cancel()
            worker.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        with contextlib.suppress(asyncio.CancelledError):
            await checking
        await worker.run()
