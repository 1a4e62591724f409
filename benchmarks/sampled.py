"""`florin serve` that notes what it is doing, each time so much CPU time has passed (setitimer(2), ITIMER_PROF).

GET /_samples tells the stacks since it was last asked, the innermost function first. It is never to be reached by anybody but a
benchmark.
"""

import signal
from collections import Counter
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_MADE_BY = "create_application"
_SECONDS = 0.001
# The outermost functions are always the same.
_DEPTH_MAX = 40

_seen: Counter[tuple[str, ...]] = Counter()


def _note(_: int, frame: FrameType | None) -> None:
    stack: list[str] = []
    while frame is not None and len(stack) < _DEPTH_MAX:
        stack.append(frame.f_code.co_filename)
        frame = frame.f_back
    _seen[tuple(stack)] += 1


async def _samples(_: Request) -> JSONResponse:
    told = [[count, *stack] for stack, count in _seen.items()]
    _seen.clear()
    return JSONResponse(told)


def main() -> None:
    import app.serve  # noqa: PLC0415  whoever imports this file needs no server
    from app.commands import all_settings  # noqa: PLC0415  as above

    # Raises AttributeError where it is made under another name.
    create = getattr(app.serve, _MADE_BY)

    def with_samples(*args: Any, **kwargs: Any) -> Starlette:  # Any: as that takes them
        made: Starlette = create(*args, **kwargs)
        made.router.routes.append(Route("/_samples", _samples))
        return made

    setattr(app.serve, _MADE_BY, with_samples)
    signal.signal(signal.SIGPROF, _note)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)
    app.serve.run(lambda: app.serve.serve_api(all_settings()))


if __name__ == "__main__":
    main()
