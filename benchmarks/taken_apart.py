"""`florin serve` that tells how much of its CPU time goes to what protects a request, and can leave that out.

GET /_spent tells the CPU time so far, in ns: of the process as `all`, and of each part. GET /_without?parts=limits,cost leaves
parts out from the next request on; without a name all of it is on again. The program stops where a name in Florin that it times
is no longer there. It is never to be reached by anybody but a benchmark.

What a part's functions do is timed where they do it, step by step where they are awaited, so that no other request's work is in
it, less what it takes to ask the clock. The event loop's own work for the statement of a look-up is not, which is why parts can
be left out too.
"""

import inspect
import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from api.server import Services

# Any: what stands in the place of something takes whatever arguments that takes.
Function = Callable[..., Any]

SIGNATURE, AUTHENTICATION, AUTHORISATION, LIMITS, COST, GUARDS = PARTS = (
    "signature",
    "authentication",
    "authorisation",
    "limits",
    "cost",
    "guards",
)


def _clock_ns() -> int:
    """How long it seems to take to do nothing at all: a clock of CPU time is asked by a system call."""
    clock = time.thread_time_ns
    return sorted(-(clock() - clock()) for _ in range(10_001))[5_000]


_CLOCK_NS = _clock_ns()


class _State:
    """Which parts are off, and the ns that each has taken."""

    off: frozenset[str] = frozenset()
    spent: Mapping[str, list[int]] = {part: [0] for part in PARTS}


def main() -> None:
    import app.serve  # noqa: PLC0415  whoever imports this file for the names of the parts needs no server
    from app.commands import all_settings  # noqa: PLC0415

    _exchange(app.serve, "services", _taking_apart_services)
    _exchange(app.serve, "create_application", _with_addresses)
    _shared_lookups()
    _limits()
    _cost()
    _authorisation()
    _guards()
    app.serve.run(lambda: app.serve.serve_api(all_settings()))


def _exchange(holder: object, name: str, made_of: Callable[[Function], Function]) -> None:
    """Put something in the place of what Florin has under a name. Raises AttributeError where it has nothing there."""
    setattr(holder, name, made_of(getattr(holder, name)))


class _Timed:
    """Something that is awaited, with each of its steps timed."""

    def __init__(self, coroutine: Coroutine[Any, Any, object], spent: list[int]) -> None:
        self._steps = coroutine
        self._spent = spent

    def __await__(self) -> Generator[Any, Any, Any]:
        steps, spent, clock = self._steps, self._spent, time.thread_time_ns
        # Any: what goes in and out is between the coroutine and the event loop.
        step: Function = steps.send
        given: tuple[Any, ...] = (None,)
        while True:
            begun = clock()
            try:
                waited_for = step(*given)
            except StopIteration as end:
                return end.value
            finally:
                spent[0] += clock() - begun - _CLOCK_NS
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001  a cancellation too goes where it would have gone
                step, given = steps.throw, (error,)
            else:
                step, given = steps.send, (sent,)


def _part(name: str, instead: Function | None = None) -> Callable[[Function], Function]:
    """A function timed as a part; while the part is off, another in its place, where there is one."""
    spent, clock, state = _State.spent[name], time.thread_time_ns, _State

    def made_of(stock: Function) -> Function:
        if inspect.iscoroutinefunction(stock):

            def timed(*positional: object, **named: object) -> object:
                if instead is not None and name in state.off:
                    return instead(*positional, **named)
                return _Timed(stock(*positional, **named), spent)

            return timed

        def timed_at_once(*positional: object, **named: object) -> object:
            if instead is not None and name in state.off:
                return instead(*positional, **named)
            begun = clock()
            try:
                return stock(*positional, **named)
            finally:
                spent[0] += clock() - begun - _CLOCK_NS

        return timed_at_once

    return made_of


def _with_addresses(create: Function) -> Function:
    """The application with the addresses at which it tells what it has spent, and parts are left out."""

    async def tell(_: "Request") -> "Response":
        return JSONResponse({"all": time.process_time_ns(), **{part: ns for part, (ns,) in _State.spent.items()}})

    async def leave_out(request: "Request") -> "Response":
        parts = frozenset(filter(None, request.query_params.get("parts", "").split(",")))
        if unknown := parts - set(PARTS):
            return PlainTextResponse(f"unknown: {sorted(unknown)}", status_code=400)
        _State.off = parts
        return PlainTextResponse("done")

    def made(*arguments: object) -> "Starlette":
        application: Starlette = create(*arguments)
        application.router.routes[:0] = [Route("/_spent", tell), Route("/_without", leave_out)]
        return application

    return made


def _taking_apart_services(make: Function) -> Function:
    """The services, where each credential is verified and looked up once and then believed while that is off."""

    def services(*arguments: object) -> "Services":
        wired: Services = make(*arguments)
        from api.authentication import Authentication  # noqa: PLC0415  see `main`

        _exchange(wired.tokens, "verify", lambda stock: _part(SIGNATURE, _remembered(stock))(stock))
        known: dict[str, object] = {}

        def exchanged(stock: Function) -> Function:
            async def remembered(authentication: Authentication, headers: Mapping[str, str]) -> object:
                credential = headers["authorization"]
                if credential not in known:
                    known[credential] = await stock(authentication, headers)
                return known[credential]

            return _part(AUTHENTICATION, remembered)(stock)

        _exchange(Authentication, "caller", exchanged)
        return wired

    return services


def _shared_lookups() -> None:
    """Look-ups that requests share are made in a task of their own, and not where the first of them waits for it.

    What is read for answers is shared in the same way, and protects nothing.
    """
    from domain.joined_lookups import JoinedLookups  # noqa: PLC0415  see `main`
    from persistence.joined_reads import JoinedRead  # noqa: PLC0415  as above

    def exchanged(stock: Function) -> Function:
        authenticating = _part(AUTHENTICATION)(stock)

        def find_all(lookups: Any, waiting: object) -> object:  # Any: it looks at what is its own
            reads = isinstance(getattr(lookups._fetch, "__self__", None), JoinedRead)  # noqa: SLF001  nothing else tells
            return (stock if reads else authenticating)(lookups, waiting)

        return find_all

    _exchange(JoinedLookups, "_find_all", exchanged)


def _remembered(ask: Function) -> Function:
    known: dict[str, object] = {}

    def answer(token: str) -> object:
        if token not in known:
            known[token] = ask(token)
        return known[token]

    return answer


def _limits() -> None:
    """How many requests come. What they cost is counted apart."""
    import api.graphql.http  # noqa: PLC0415  see `main`
    from api.throttle import Addresses, Throttle  # noqa: PLC0415
    from domain.limits import Taken  # noqa: PLC0415

    async def by_address(throttle: Throttle, *_: object) -> Taken:
        return Taken(throttle.by_address, 1, 1.0, True)

    async def by_actor(throttle: Throttle, *_: object) -> Taken:
        return Taken(throttle.by_actor, 1, 1.0, True)

    async def nothing(*_: object) -> None:
        return

    _exchange(Throttle, "request", _part(LIMITS, by_address))
    _exchange(Throttle, "actor", _part(LIMITS, by_actor))
    _exchange(Throttle, "money", _part(LIMITS, nothing))
    _exchange(Addresses, "of", _part(LIMITS))
    _exchange(api.graphql.http, "rate_limit_headers", _part(LIMITS))


def _cost() -> None:
    """What an operation may cost and has cost, and what is left of a budget. While it is off, each costs one unit."""
    from api.graphql.cost import Plan  # noqa: PLC0415  see `main`
    from api.throttle import Throttle  # noqa: PLC0415

    async def nothing(*_: object, **__: object) -> float:
        return 1.0

    _exchange(Plan, "cost", _part(COST, lambda *_: 1))
    _exchange(Plan, "actual", _part(COST, lambda *_: 1))
    _exchange(Throttle, "spend", _part(COST, nothing))
    _exchange(Throttle, "spent", _part(COST, nothing))


def _authorisation() -> None:
    """The rules of fields, and whose rows a read goes to. While it is off, nothing is refused and everybody's rows are read."""
    from api.graphql.context import Context  # noqa: PLC0415  see `main`
    from domain.access import EVERYTHING, Actor  # noqa: PLC0415

    _exchange(Context, "require", _part(AUTHORISATION, lambda context, _: context.actor))
    _exchange(Context, "require_actor", _part(AUTHORISATION, lambda context: context.actor))
    _exchange(Context, "may", _part(AUTHORISATION, lambda *_: True))
    for name in ("scope", "people"):
        # A property's own function is what is timed; it calls others of these, which must not be counted twice.
        stock: property = getattr(Actor, name)
        if stock.fget is None:
            raise AttributeError(name)
        setattr(Actor, name, property(_part(AUTHORISATION, lambda _: EVERYTHING)(stock.fget)))


def _guards() -> None:
    """The times of connections, the depth of variables, and the look for a document that was guarded before."""
    import api.graphql.execution  # noqa: PLC0415  see `main`
    from api.graphql.documents import Documents  # noqa: PLC0415
    from app.connections import _BoundedProtocol  # noqa: PLC0415

    _exchange(_BoundedProtocol, "_set_timer", _part(GUARDS, lambda *_: None))
    _exchange(_BoundedProtocol, "_clear_timer", _part(GUARDS, lambda *_: None))
    _exchange(api.graphql.execution, "_check_depth", _part(GUARDS, lambda _: None))
    _exchange(Documents, "known", _part(GUARDS))


if __name__ == "__main__":
    main()
