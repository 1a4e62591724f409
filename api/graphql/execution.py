"""Runs one operation: from a request's parts to a response's parts, without a word about HTTP."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import strawberry
import structlog
from graphql import ExecutionResult, GraphQLError, execute

from api.graphql.compiled import CompiledExecutor, PlanCache
from api.graphql.context import Context
from api.graphql.documents import Document, Documents, InvalidDocument, Operation
from api.graphql.guards import DocumentLimits
from api.graphql.problems import format_error
from api.throttle import Throttle, too_costly
from domain.access import Actor
from domain.errors import BadInput, FlorinError, Forbidden, RequestError
from domain.trusted_documents import DocumentDigest

log = structlog.get_logger(__name__)

VARIABLES_DEPTH_MAX = 16
# A unit of cost is about 20 µs of work.
_UNITS_PER_SECOND = 50_000
# What is said to those who may not see the schema: which part of it does not fit would tell what else is in it.
_WRONG_DOCUMENT = "The document does not fit the schema."
_WRONG_VARIABLE = "A variable does not have the type that the operation gives it."


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequest:
    """The parts of a request (GraphQL over HTTP, section 5).

    `query` is empty where the request names its document by `digest` alone. `tells_cost` asks for `extensions.cost`.
    `cost_max` is that of a trusted document which has one of its own.
    """

    query: str
    operation_name: str | None
    variables: dict[str, Any] | None  # Any: whatever JSON the client sends
    digest: DocumentDigest | None = None
    tells_cost: bool = False
    cost_max: int | None = None


@dataclass(frozen=True, slots=True)
class OperationResponse:
    """A response's body. `executed` is False where the request failed before anything ran (no `data` then)."""

    body: dict[str, object]
    executed: bool


class MutationByGet(BadInput):
    """A GET request may only read; send a mutation by POST."""


class DeadlineExceeded(RequestError):
    """The answer took too long. What was to be done may be done still: ask again with the same idempotency key."""

    code = "DEADLINE_EXCEEDED"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """`deadline_seconds` is how long an answer may take; `introspection` is whether everybody may see the schema."""

    documents: DocumentLimits
    deadline_seconds: float
    introspection: bool


class Unfinished:
    """Mutations that go on although their clients were told that it takes too long."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[ExecutionResult]] = set()

    def keep(self, task: asyncio.Task[ExecutionResult]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, seconds_max: float) -> None:
        """Wait until they have come to their end. What has not by then is taken up by recovery, as after a crash."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds_max)


class _NotRun(Exception):
    """Nothing ran, because the operation or its variables are not right, or it costs too much."""

    def __init__(self, errors: "list[GraphQLError] | Sequence[FlorinError]") -> None:
        super().__init__(errors)
        self.errors = errors


class Executor:
    """Executes operations on a schema."""

    def __init__(
        self,
        schema: strawberry.Schema,
        throttle: Throttle,
        config: ExecutionConfig,
        *,
        may_see_schema: Callable[[Actor], bool],
        unfinished: Unfinished,
        plans: PlanCache,
    ) -> None:
        self._schema = schema._schema  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside
        self._documents = Documents(self._schema, config.documents, plans)
        self._throttle = throttle
        self._config = config
        self._may_see_schema = may_see_schema
        self._unfinished = unfinished

    async def run(
        self, request: OperationRequest, context: Context, address: str, *, read_only: bool
    ) -> OperationResponse:
        """Execute an operation.

        Raises MutationByGet where only reading is allowed and the operation does more, BadInput for a document or variables
        that go over a limit, RateLimited or Throttled for somebody who has asked too much, DeadlineExceeded.
        """
        try:
            return await self._run(request, context, address, read_only=read_only)
        except _NotRun as refused:
            shown = (
                error if isinstance(error, GraphQLError) else GraphQLError(error.message, original_error=error)
                for error in refused.errors
            )
            errors = [format_error(error, context.request_id, sees_schema=True) for error in shown]
            return OperationResponse({"errors": errors}, executed=False)

    async def _run(
        self, request: OperationRequest, context: Context, address: str, *, read_only: bool
    ) -> OperationResponse:
        actor = context.actor
        budget = address if actor is None else str(actor.user_id)
        document, operation = await self._chosen(request, budget, actor)
        context.operation_name = operation.name
        context.operation_kind = operation.kind
        if read_only and not operation.is_query:
            raise MutationByGet
        variables = request.variables or {}
        _check_depth(variables)
        if operation.mutations and actor is not None:
            await self._throttle.money(actor, operation.mutations)
        cost = operation.plan.cost(variables)
        cost_max = self._throttle.operation_cost_max if request.cost_max is None else request.cost_max
        if cost > cost_max:
            raise _NotRun([too_costly(cost, cost_max)])
        left = await self._throttle.spend(budget, cost)
        result = await self._execute(document, operation, request, context)
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            await self._throttle.spent(budget, -cost)
            raise _NotRun(result.errors if self._sees_schema(actor) else [BadInput(_WRONG_VARIABLE)])
        if compiling := operation.compiled.take_seconds():
            left = await self._throttle.spent(budget, int(compiling * _UNITS_PER_SECOND))
        actual = min(operation.plan.actual(result.data), cost)
        if actual < cost:
            left = await self._throttle.spent(budget, actual - cost)
        body: dict[str, object] = {"data": result.data}
        if result.errors:
            sees_schema = self._sees_schema(actor)
            body["errors"] = [format_error(error, context.request_id, sees_schema) for error in result.errors]
        if request.tells_cost:
            body["extensions"] = {"cost": self._told(cost, actual, left, cost_max)}
        return OperationResponse(body, executed=True)

    def _sees_schema(self, actor: Actor | None) -> bool:
        return self._config.introspection or (actor is not None and self._may_see_schema(actor))

    async def _chosen(self, request: OperationRequest, budget: str, actor: Actor | None) -> tuple[Document, Operation]:
        """The operation that is asked for. Raises _NotRun."""
        try:
            document = self._documents.known(request.query) or await self._read(request.query, budget)
        except InvalidDocument as invalid:
            shown = not invalid.names_schema or self._sees_schema(actor)
            raise _NotRun(invalid.errors if shown else [BadInput(_WRONG_DOCUMENT)]) from invalid
        try:
            operation = document.operation(request.operation_name)
        except BadInput as error:
            raise _NotRun([error]) from error
        if operation.introspects and not self._sees_schema(actor):
            raise _NotRun([Forbidden("The schema is not shown here.")])
        return document, operation

    async def _read(self, source: str, budget: str) -> Document:
        """Read a document that nobody sent before. Whatever becomes of it, the work is on the budget of whoever sent it."""
        await self._throttle.require_some(budget)
        begun = time.thread_time()
        try:
            return self._documents.read(source)
        finally:
            await self._throttle.spent(budget, int((time.thread_time() - begun) * _UNITS_PER_SECOND))

    async def _execute(
        self, document: Document, operation: Operation, request: OperationRequest, context: Context
    ) -> ExecutionResult:
        result = execute(
            self._schema,
            document.ast,
            context_value=context,
            variable_values=request.variables,
            operation_name=operation.name,
            executor_class=CompiledExecutor,
            plans=operation.compiled,
        )
        if isinstance(result, ExecutionResult):
            return result
        if operation.is_query:
            try:
                async with asyncio.timeout(self._config.deadline_seconds):
                    return await result
            except TimeoutError as error:
                raise DeadlineExceeded("The answer took too long. Ask for less, or try again later.") from error
        # A mutation is never torn apart: it goes on to its end, and whoever asks again with the same key is told that.
        task = asyncio.ensure_future(result)
        done, _ = await asyncio.wait((task,), timeout=self._config.deadline_seconds)
        if done:
            return task.result()
        log.warning("graphql.deadline_exceeded", operation=operation.name)
        self._unfinished.keep(task)
        raise DeadlineExceeded

    def _told(self, cost: int, actual: int, left: float, cost_max: int) -> dict[str, object]:
        buckets = self._throttle.buckets
        return {
            "requested": cost,
            "actual": actual,
            "maximum": cost_max,
            "available": int(left),
            "capacity": buckets.capacity,
            "restoredPerSecond": buckets.leaks_per_second,
        }


def _check_depth(variables: dict[str, Any]) -> None:  # Any: whatever JSON the client sends
    """Raises BadInput for variables that are nested too deeply for whatever walks through them later."""
    level: list[Any] = [variables]
    for _ in range(VARIABLES_DEPTH_MAX):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise BadInput(f"The variables are nested more than {VARIABLES_DEPTH_MAX} levels deep, which is the most.")
