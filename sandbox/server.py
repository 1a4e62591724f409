"""The sandbox as a program: `run(SandboxConfig(...))` serves until SIGTERM or SIGINT."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.loops.auto import auto_loop_factory

from sandbox.api import Api
from sandbox.config import SandboxConfig, WebhookTarget
from sandbox.connections import HttpConnection
from sandbox.machine import Machine
from sandbox.operation import API_VERSION
from sandbox.three_d_secure import ThreeDSecurePage

__all__ = ["HttpConnection", "SandboxConfig", "WebhookTarget", "create_app", "run", "serve"]

_log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 5
_BACKLOG = 1_024


def create_app(config: SandboxConfig, *, may_crash: bool = False) -> Starlette:
    """The ASGI application. Its lifespan delivers webhooks and closes the state; `app.state.machine` is the machine.

    `may_crash` allows the faults that kill the process. Serve it with `http=HttpConnection`, or else a fault that drops
    the connection raises ConnectionDropped. Raises StateFileError if the state file is in use or not one of ours.
    """
    machine = Machine(config, may_crash=may_crash)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        background = asyncio.create_task(machine.run())
        background.add_done_callback(_report_crash)
        try:
            yield
        finally:
            background.cancel()
            with suppress(asyncio.CancelledError):
                await background
            machine.close()

    routes = [
        Route("/_sandbox/health", _health, methods=["GET"]),
        *ThreeDSecurePage(machine).routes(),
        *Api(machine).routes(),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.machine = machine
    return app


async def serve(
    config: SandboxConfig, on_listening: Callable[[str], None] | None = None, *, may_crash: bool = False
) -> None:
    """Serve until a signal stops it. `on_listening` is told the base URL once connections are accepted.

    Raises OSError if the address is taken, StateFileError if the state file cannot be used.
    """
    with socket.create_server((config.host, config.port), family=_family(config.host), backlog=_BACKLOG) as listener:
        config = replace(config, port=listener.getsockname()[1])
        app = create_app(config, may_crash=may_crash)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                access_log=False,
                http=HttpConnection,
                lifespan="on",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
                ws="none",
            )
        )
        if on_listening is not None:
            on_listening(config.base_url)
        await server.serve(sockets=[listener])


def run(config: SandboxConfig, on_listening: Callable[[str], None] | None = None) -> None:
    """Serve from the main thread of a program of its own; SIGTERM and SIGINT end it cleanly, with exit status 0."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    # Uvicorn shuts down on the signal and then raises it anew, which would otherwise kill the process by it.
    before = signal.signal(signal.SIGTERM, stop)
    try:
        # The faster event loop where it is installed.
        with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(serve(config, on_listening, may_crash=True))
    finally:
        signal.signal(signal.SIGTERM, before)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "api_version": API_VERSION})


def _report_crash(background: "asyncio.Task[None]") -> None:
    if not background.cancelled() and (error := background.exception()) is not None:
        _log.error("webhooks and timers have stopped", exc_info=error)
