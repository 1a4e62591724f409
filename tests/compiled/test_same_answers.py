"""Over the API's own schema, compiled code answers as graphql-core does: 5,000 operations, most over data with mistakes in it."""

from random import Random
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLSchema

from api.graphql.compiled import ALL_GUARDS
from api.graphql.compiled.guards import Guards
from api.graphql.context import Context
from api.graphql.schema import schema
from domain.access import Actor, Role
from domain.ids import UserId
from tests.compiled.comparing import Comparison
from tests.compiled.operations import MadeUpOperation, OperationMaker
from tests.compiled.readers import made_up_context
from tests.compiled.roots import PAYLOADS, made_up_mutations

OPERATIONS = 5_000
PARTS = 10
SCHEMA: GraphQLSchema = schema._schema
_ACTORS = (
    Actor(UserId(UUID(int=1)), Role.ADMIN),
    Actor(UserId(UUID(int=2)), Role.SUPPORT),
    Actor(UserId(UUID(int=3)), Role.CUSTOMER),
    None,
)


async def differences(seeds: range, guards: Guards = ALL_GUARDS) -> tuple[list[str], Comparison]:
    """The operations of these seeds that are answered otherwise by compiled code."""
    comparison = Comparison(SCHEMA, guards)
    found = []
    query = SCHEMA.query_type
    assert query is not None
    roots = {"query": [*query.fields], "mutation": [*PAYLOADS]}
    calls: list[str] = []
    with made_up_mutations(SCHEMA, calls):
        for seed in seeds:
            made = OperationMaker(SCHEMA, seed, roots).operation()
            found += await _differences(comparison, made, seed, calls)
            if seed % 4 == 0:
                # The same plans, for somebody else, over other data, and with the other half of what depends on variables.
                found += await _differences(comparison, made.otherwise(), seed + OPERATIONS, calls)
    return found, comparison


async def _differences(comparison: Comparison, made: MadeUpOperation, seed: int, calls: list[str]) -> list[str]:
    random = Random(seed)  # noqa: S311  a seed makes it up again
    actor = random.choices(_ACTORS, (8, 3, 3, 1))[0]
    oddity = random.choice((0.0, 0.02, 0.2))

    def asked() -> tuple[str, Context, dict[str, Any]]:
        calls.clear()
        return made.text, made_up_context(seed, oddity, actor), made.variables

    stock = await comparison.stock(*asked())
    expected = sorted(calls)
    compiled = await comparison.compiled(*asked())
    called = sorted(calls)
    alike = compiled.is_like(stock)
    if not alike and compiled.swallowed != stock.swallowed:
        alike = compiled.is_like(stock, await comparison.all_errors(*asked()))
    if alike and called == expected:
        return []
    return [f"{seed}: {made.text} {made.variables}\n  {stock}\n  {compiled}\n  {expected} {called}"]


# Where a sibling fails, graphql-core leaves coroutines of its own behind that were never begun.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("part", range(PARTS))
async def test_whatever_is_asked_is_answered_alike(part: int) -> None:
    size = OPERATIONS // PARTS
    found, comparison = await differences(range(part * size, (part + 1) * size))
    assert found == []
    # A comparison in which nothing was compiled would notice nothing.
    outcomes = comparison.outcomes
    assert outcomes["compiled"] > size / 3
    assert outcomes["given_up"] > size / 50
    assert outcomes["unsupported"] < size / 100
