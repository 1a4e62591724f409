"""GET /healthz: the process is alive. GET /readyz: it can do its work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response

ReadinessCheck = Callable[[], Awaitable[dict[str, str]]]
"""What is not as it should be, by part; empty when all is well."""


async def alive(_: Request) -> Response:
    return _json({"status": "alive"}, 200)


@dataclass(frozen=True, slots=True)
class Ready:
    """Answers 503 with what is missing until the database answers and its schema is the one this code needs."""

    check: ReadinessCheck

    async def __call__(self, _: Request) -> Response:
        missing = await self.check()
        if missing:
            return _json({"status": "not ready", "missing": missing}, 503)
        return _json({"status": "ready"}, 200)


def _json(body: dict[str, object], status: int) -> Response:
    return Response(
        orjson.dumps(body), status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )
