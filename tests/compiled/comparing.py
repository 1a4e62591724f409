"""Executes operations twice, by graphql-core alone and by compiled code, and tells whether a client could see it."""

import asyncio
import inspect
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    execute,
    parse,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.graphql.compiled import ALL_GUARDS, CompiledExecutor, OperationPlans, PlanCache
from api.graphql.compiled.guards import Guards

Place: TypeAlias = tuple[str | int, ...]
_KEPT_MAX = 10


@dataclass(frozen=True)
class Answer:
    """What a client sees: data in its order, and each error with its place, its kind and what it says.

    `swallowed` are errors inside of something that became null as a whole, by where that is. The specification leaves open which
    of several are told; graphql-core tells those that came before the one that made it null, which is a matter of timing.
    """

    data: str
    errors: tuple[str, ...]
    swallowed: dict[Place, frozenset[str]]

    def is_like(self, other: "Answer", all_errors: frozenset[str] = frozenset()) -> bool:
        """Whether both say the same; of errors that one place swallowed, they may tell others of all that there are."""
        return (
            (self.data, self.errors) == (other.data, other.errors)
            and self.swallowed.keys() == other.swallowed.keys()
            and all(told == other.swallowed[place] or told <= all_errors for place, told in self.swallowed.items())
        )


def answer_of(result: ExecutionResult) -> Answer:
    own: list[str] = []
    swallowed: dict[Place, set[str]] = defaultdict(set)
    for error in result.errors or ():
        place = _null_around(result.data, tuple(error.path or ()))
        if place == tuple(error.path or ()):
            own.append(_told(error))
        else:
            swallowed[place].add(_told(error))
    return Answer(
        json.dumps(result.data, default=repr),
        tuple(sorted(own)),
        {place: frozenset(told) for place, told in swallowed.items()},
    )


def _null_around(data: Any, path: Place) -> Place:  # Any: JSON
    """The outermost place on a path that is null."""
    for depth, key in enumerate(path):
        if data is None:
            return path[:depth]
        data = data[key]
    return path


def _told(error: GraphQLError) -> str:
    cause = error.original_error
    return json.dumps([error.formatted, type(cause).__name__, str(cause)], default=str, sort_keys=True)


class _TellingAll(StrawberryGraphQLCoreExecutionContext):
    """graphql-core without the rule that an error makes null what is around it, so that all errors are told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: all that graphql-core passes
        super().__init__(*args, **kwargs)
        self.error_propagation = False


class Comparison:
    """Both executors over one schema."""

    def __init__(self, schema: GraphQLSchema, guards: Guards = ALL_GUARDS) -> None:
        self._schema = schema
        self._cache = PlanCache(self._count, uses_before_compiling=0, guards=guards)
        self._plans: dict[str, tuple[DocumentNode, OperationPlans]] = {}
        self.outcomes: Counter[str] = Counter()

    # Any: JSON, whatever context the schema has, and what else `execute` takes.
    async def stock(self, text: str, context: Any, variables: dict[str, Any] | None = None, **more: Any) -> Answer:
        more["executor_class"] = StrawberryGraphQLCoreExecutionContext
        return await self._answer(_parsed(text), context, variables, more)

    async def all_errors(self, text: str, context: Any, variables: dict[str, Any] | None = None) -> frozenset[str]:
        """Every error that there is in an operation's answer."""
        answer = await self._answer(_parsed(text), context, variables, {"executor_class": _TellingAll})
        return frozenset(answer.errors).union(*answer.swallowed.values())

    async def compiled(self, text: str, context: Any, variables: dict[str, Any] | None = None, **more: Any) -> Answer:
        """The answer of compiled code, whose plans are kept from one call to the next."""
        if text not in self._plans:
            if len(self._plans) == _KEPT_MAX:
                self._plans.clear()
            document = _parsed(text)
            node = next(each for each in document.definitions if isinstance(each, OperationDefinitionNode))
            self._plans[text] = document, self._cache.operation(document, node)
        document, plans = self._plans[text]
        return await self._answer(
            document, context, variables, {"executor_class": CompiledExecutor, "plans": plans, **more}
        )

    def _count(self, outcome: str) -> None:
        self.outcomes[str(outcome)] += 1

    async def _answer(
        self, document: DocumentNode, context: Any, variables: dict[str, Any] | None, more: dict[str, Any]
    ) -> Answer:
        try:
            found = execute(self._schema, document, context_value=context, variable_values=variables, **more)
            return answer_of(await found if inspect.isawaitable(found) else found)
        except (GraphQLError, asyncio.CancelledError) as error:
            return Answer(f"{type(error).__name__}: {error}", (), {})


def _parsed(text: str) -> DocumentNode:
    return parse(text, experimental_fragment_arguments="fragment Argued(" in text)
