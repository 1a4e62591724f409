"""Every guard of the compiler is needed: without it, compiled code answers otherwise than graphql-core."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import strawberry
from graphql import GraphQLResolveInfo
from graphql.pyutils import AbortController

from api.graphql.compiled import ALL_GUARDS, Guard
from api.graphql.compiled.guards import Guards
from tests.compiled.comparing import Answer, Comparison
from tests.compiled.laboratory import counting, schema


@dataclass(frozen=True)
class Case:
    """An operation that only graphql-core executes rightly, each time with other variables."""

    text: str
    variables: Sequence[dict[str, Any]] = ({},)  # Any: JSON
    schema: strawberry.Schema = schema
    more: Callable[[], dict[str, Any]] = field(default=dict)  # Any: what `execute` takes


def _item(selection: str) -> Case:
    return Case(f"{{ items {{ {selection} }} }}")


def _shouting(
    resolve: Any, source: Any, info: GraphQLResolveInfo[Any], **arguments: Any
) -> Any:  # Any: as graphql-core's
    found = resolve(source, info, **arguments)
    return found + 100 if isinstance(found, int) else found


_BOTH_WAYS = ({"yes": True}, {"yes": False})
CASES: Mapping[Guard, Case] = {
    Guard.FIELD_EXTENSIONS: _item("secret"),
    Guard.FOREIGN_RESOLVER: _item("wrapped"),
    Guard.DEFAULT_RESOLVER: Case("{ items { number } }", schema=counting),
    Guard.FOREIGN_TYPE_CHECK: _item("particular { name }"),
    Guard.DIRECTIVES: Case("{ items { tags @stream(initialCount: 0) } }"),
    Guard.FRAGMENT_ARGUMENTS: Case(
        "query ($yes: Boolean!) { items { ...Argued(shown: $yes) } }"
        " fragment Argued($shown: Boolean!) on Item { number greeting @include(if: $shown) }",
        _BOTH_WAYS,
    ),
    Guard.VARIANTS: Case("query ($yes: Boolean!) { items { number greeting @include(if: $yes) } }", _BOTH_WAYS),
    Guard.MIDDLEWARE: Case("{ items { number } }", more=lambda: {"middleware": [_shouting]}),
    Guard.ABORT_SIGNAL: Case("{ items { patient } }", more=lambda: {"abort_signal": AbortController().signal}),
    Guard.NULL: _item("promised"),
    Guard.EXCEPTION_VALUE: _item("failed { __typename }"),
    Guard.AWAITABLE_VALUE: _item("later { __typename }"),
    Guard.LIST_CLASS: _item("letters"),
    Guard.LEAF_CLASS: _item("text"),
    Guard.INT_RANGE: _item("large"),
    Guard.LEAF_RESULT: _item("nothing"),
    Guard.OBJECT_TYPE: _item("leaf { __typename }"),
    Guard.RUNTIME_TYPE: _item("either { __typename }"),
    Guard.CAST: _item("cast { __typename }"),
    Guard.MUTABLE_ARGUMENT: _item("extended(ids: [7])"),
    Guard.PATH: _item("place"),
    Guard.BATCH_SIZE: _item("size"),
    Guard.NO_TASK: _item("hurried"),
}


async def _answers(case: Case, guards: Guards) -> list[tuple[Answer, Answer]]:
    """The answers of graphql-core and of compiled code."""
    comparison = Comparison(case.schema._schema, guards)
    pairs = []
    for variables in case.variables:
        context = {"shows": True}
        stock = await comparison.stock(case.text, context, variables, **case.more())
        pairs.append((stock, await comparison.compiled(case.text, context, variables, **case.more())))
    return pairs


def _differ(pairs: list[tuple[Answer, Answer]]) -> bool:
    return any(not compiled.is_like(stock) for stock, compiled in pairs)


# What is switched off here may leave coroutines behind, which is a part of what goes wrong.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


def test_every_guard_has_a_case() -> None:
    assert CASES.keys() == set(Guard)


@pytest.mark.parametrize(
    "guard", [each for each in Guard if each is not Guard.ABORT_SIGNAL], ids=lambda each: each.name
)
async def test_a_guard_makes_the_difference(guard: Guard) -> None:
    assert not _differ(await _answers(CASES[guard], ALL_GUARDS))
    assert _differ(await _answers(CASES[guard], ALL_GUARDS - {guard}))


@pytest.mark.parametrize(("guards", "cancelled"), [(ALL_GUARDS, True), (ALL_GUARDS - {Guard.ABORT_SIGNAL}, False)])
async def test_an_abort_reaches_every_resolver(guards: Guards, cancelled: bool) -> None:
    controller = AbortController()
    notes: list[str] = []
    running = asyncio.ensure_future(
        Comparison(schema._schema, guards).compiled(
            "{ items { patient } }", {"event": asyncio.Event(), "notes": notes}, abort_signal=controller.signal
        )
    )
    for _ in range(20):
        await asyncio.sleep(0)
    controller.abort()
    for _ in range(20):
        await asyncio.sleep(0)
    assert (notes != []) is cancelled
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
