"""A compiled executor for Strawberry schemas: see README.md beside this file.

This package knows Strawberry and graphql-core, and nothing of the API that it serves.
"""

from api.graphql.compiled.batched import batched
from api.graphql.compiled.executor import CompiledExecutor
from api.graphql.compiled.gates import gated
from api.graphql.compiled.guards import ALL_GUARDS, Guard
from api.graphql.compiled.plans import CompletionCounter, OperationPlans, Outcome, PlanCache

__all__ = [
    "ALL_GUARDS",
    "CompiledExecutor",
    "CompletionCounter",
    "Guard",
    "OperationPlans",
    "Outcome",
    "PlanCache",
    "batched",
    "gated",
]
