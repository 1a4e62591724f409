"""graphql-core's executor, which completes what root fields return by compiled code where it can."""

from collections.abc import Awaitable
from typing import Any

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path
from graphql.type import GraphQLResolveInfoHelpers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.graphql.compiled.driving import Run
from api.graphql.compiled.guards import Guard, Surprise
from api.graphql.compiled.plans import KeptPlan, OperationPlans


class CompiledExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation; passed to graphql-core as `executor_class`, with `plans` beside it.

    Root fields are resolved by graphql-core, each exactly once. What one returns is completed by a plan; where that gives up,
    graphql-core completes the very same value, so that errors, their paths and what becomes null are its own. Resolvers of inner
    fields may run a second time then.
    """

    def __init__(self, *args: Any, plans: OperationPlans, **kwargs: Any) -> None:  # Any: all that graphql-core passes
        super().__init__(*args, **kwargs)
        self._plans = plans
        self._left: set[str | int] = set()
        guards = plans.guards
        self._compiles = not (
            (self.middleware_manager is not None and Guard.MIDDLEWARE in guards)
            or (self.abort_signal is not None and Guard.ABORT_SIGNAL in guards)
        )
        plans.use()

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        """Made when asked for: kept, its bound methods would make every executor a cycle, and with it a whole request."""
        return GraphQLResolveInfoHelpers(gather=self.gather_async_work, track=self.track_async_work)

    @async_helpers.setter
    def async_helpers(self, value: GraphQLResolveInfoHelpers) -> None:
        """graphql-core sets it when it makes an executor."""

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: list[FieldDetails],
        info: GraphQLResolveInfo[Any],  # Any: whatever context the schema has
        path: Path,
        result: Any,  # Any: whatever the resolver returned
        position_context: Any,  # Any: graphql-core's own, for @defer
    ) -> Any:  # Any: a completed value, or an awaitable of one
        arguments = (return_type, field_details_list, info, path, result, position_context)
        if path.prev is not None or result is None or not self._compiles or path.key in self._left:
            return super().complete_value(*arguments)
        self._left.add(path.key)
        kept = self._plans.plan(self, return_type, field_details_list)
        if kept is None:
            return super().complete_value(*arguments)
        plan, run = kept.plan, Run()
        try:
            completed: Any = plan.begin(self, run)(result)  # Any: as this method's own result
        except (Exception, Surprise):  # noqa: BLE001  whatever it is, graphql-core makes the error of it
            self._plans.gave_up(kept)
            return super().complete_value(*arguments)
        if plan.is_async:
            return self._finish(completed, kept, run, arguments)
        self._plans.completed(kept)
        return completed

    async def _finish(
        self, completed: Awaitable[object], kept: KeptPlan, run: Run, arguments: tuple[Any, ...]
    ) -> object:
        """Wait for a plan's value. `arguments` are those of `complete_value`, for the case that it gives up."""
        try:
            finished = await completed
        except (Exception, Surprise):  # noqa: BLE001  as above
            self._plans.gave_up(kept)
        except BaseException:
            run.cancel()
            raise
        else:
            self._plans.completed(kept)
            return finished
        await self._settle(run)
        generic = super().complete_value(*arguments)
        return await generic if self.is_awaitable(generic) else generic

    async def _settle(self, run: Run) -> None:
        try:
            await run.settle()
        except BaseException:
            run.cancel()
            raise
