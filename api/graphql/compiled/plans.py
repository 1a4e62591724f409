"""Keeps plans: a few for each operation, and a bounded number of fields in all."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeAlias

from graphql import DocumentNode, GraphQLOutputType, OperationDefinitionNode, VariableNode, Visitor, visit
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails
from graphql.language import DirectiveNode

from api.graphql.compiled.compiler import Plan, compile_plan
from api.graphql.compiled.guards import ALL_GUARDS, Guard, Guards, Unsupported

log = logging.getLogger(__name__)

USES_BEFORE_COMPILING = 2
"""A document that comes once or twice is executed as it is; compiling takes as long as executing it a few times."""
PLANS_MAX = 16
"""For one operation. Each combination of what @skip and @include depend on takes one for each root field."""
FAILURES_MAX = 8
"""So many times in a row a plan may give up before it rests: an answer takes longer by it than without."""
REST = 64
"""For so many uses a plan rests."""
FIELDS_MAX = 20_000
"""Compiled fields that are kept in all, of about 2 KiB each."""

_Key: TypeAlias = "tuple[object, ...]"


class Outcome(StrEnum):
    """How a root field's value was completed."""

    COMPILED = "compiled"
    UNSUPPORTED = "unsupported"
    GIVEN_UP = "given_up"
    NOT_COMPILED = "not_compiled"
    RESTING = "resting"


CompletionCounter: TypeAlias = Callable[[Outcome], None]


class KeptPlan:
    """A plan, and how it did of late."""

    __slots__ = ("failures", "plan", "resting")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.failures = 0
        self.resting = 0


def count_nothing(_: Outcome) -> None:
    """For whoever does not care."""


class PlanCache:
    """What all operations share: how much is kept, what is counted, and which guards hold (all of them but in tests)."""

    def __init__(
        self,
        count: CompletionCounter = count_nothing,
        *,
        uses_before_compiling: int = USES_BEFORE_COMPILING,
        fields_max: int = FIELDS_MAX,
        guards: Guards = ALL_GUARDS,
    ) -> None:
        self.count = count
        self.uses_before_compiling = uses_before_compiling
        self.guards = guards
        self._fields_max = fields_max
        self._kept: OrderedDict[OperationPlans, int] = OrderedDict()
        self.fields = 0

    def operation(self, document: DocumentNode, node: OperationDefinitionNode) -> "OperationPlans":
        """The plans of an operation, to be kept wherever its document is."""
        return OperationPlans(self, document, node)

    def used(self, plans: "OperationPlans") -> None:
        """Keep these longer than others."""
        if plans in self._kept:
            self._kept.move_to_end(plans)

    def added(self, plans: "OperationPlans", fields: int) -> None:
        """Make room for a plan of so many fields, at the cost of the operations that were not used for longest."""
        self._kept[plans] = self._kept.pop(plans, 0) + fields
        self.fields += fields
        while self.fields > self._fields_max and len(self._kept) > 1:
            dropped, size = self._kept.popitem(last=False)
            self.fields -= size
            dropped.drop()


class OperationPlans:
    """The plans of one operation, by root field and by the values of the variables in @skip and @include."""

    __slots__ = ("_cache", "_plans", "_seconds", "_sources", "_uses", "_variables")

    def __init__(self, cache: PlanCache, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self._cache = cache
        self._sources: tuple[DocumentNode, OperationDefinitionNode] = (document, node)
        self._plans: dict[_Key, KeptPlan | None] = {}
        self._variables: tuple[str, ...] | None = None
        self._uses = 0
        self._seconds = 0.0

    @property
    def guards(self) -> Guards:
        return self._cache.guards

    def use(self) -> None:
        """Note that the operation is executed once more."""
        self._uses += 1
        if self._plans:
            self._cache.used(self)

    def drop(self) -> None:
        """Forget all plans, because others need the room."""
        self._plans = {}
        self._uses = 0

    def take_seconds(self) -> float:
        """How long compiling has taken since this was last asked, in seconds of one core."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    # Any: graphql-core's own context, which means nothing here.
    def plan(
        self, executor: Executor[Any], declared: GraphQLOutputType, details: list[FieldDetails]
    ) -> KeptPlan | None:
        """The plan for a root field's value. None where graphql-core has to complete it, which is counted then."""
        if self._uses <= self._cache.uses_before_compiling:
            self._cache.count(Outcome.NOT_COMPILED)
            return None
        first = details[0].node
        key: _Key = ((first.alias or first.name).value, *self._variant(executor))
        if key not in self._plans and len(self._plans) < PLANS_MAX:
            self._compile(key, executor, declared, details)
        kept = self._plans.get(key)
        if kept is None:
            self._cache.count(Outcome.UNSUPPORTED)
        elif kept.resting:
            kept.resting -= 1
            self._cache.count(Outcome.RESTING)
            return None
        return kept

    def completed(self, kept: KeptPlan) -> None:
        """Note that a plan completed a value."""
        kept.failures = 0
        self._cache.count(Outcome.COMPILED)

    def gave_up(self, kept: KeptPlan) -> None:
        """Note that a plan gave up."""
        kept.failures += 1
        if kept.failures >= FAILURES_MAX:
            kept.failures, kept.resting = 0, REST
        self._cache.count(Outcome.GIVEN_UP)

    def _variant(self, executor: Executor[Any]) -> tuple[object, ...]:  # Any: as above
        if self._variables is None:
            found = _ConditionVariables()
            visit(self._sources[0], found)
            self._variables = tuple(sorted(found.names)) if Guard.VARIANTS in self.guards else ()
        values = executor.variable_values.coerced
        return tuple(values.get(name) for name in self._variables)

    def _compile(
        self,
        key: _Key,
        executor: Executor[Any],  # Any: as above
        declared: GraphQLOutputType,
        details: list[FieldDetails],
    ) -> None:
        begun = time.thread_time()
        self._plans[key] = None
        fields = 0
        try:
            plan = compile_plan(executor, declared, details, self.guards)
        except Unsupported as unsupported:
            log.debug("not compiled: %s", unsupported)
        except Exception:
            # A mistake of the compiler's own; graphql-core executes the operation as if there were none.
            log.exception("compiling failed")
        else:
            self._plans[key] = KeptPlan(plan)
            fields = plan.fields
        self._seconds += time.thread_time() - begun
        self._cache.added(self, max(fields, 1))


class _ConditionVariables(Visitor):
    """Finds the variables that decide what is selected."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        if node.name.value not in {"skip", "include"}:
            return
        self.names.update(
            argument.value.name.value for argument in node.arguments or () if isinstance(argument.value, VariableNode)
        )
